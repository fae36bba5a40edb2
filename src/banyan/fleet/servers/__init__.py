"""The servers that Banyan builds on, each found on this machine or taken from a wheel."""
