"""Tasks: work that is put down durably now, and done by a worker soon after."""
