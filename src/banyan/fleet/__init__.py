"""The fleet: every server and service of a scaled-out Banyan on one machine, without containers."""
