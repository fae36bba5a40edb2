"""What every part of Banyan speaks: ids, time, errors and events. Standard library only."""
