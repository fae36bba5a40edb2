"""Users and sessions over HTTP."""
