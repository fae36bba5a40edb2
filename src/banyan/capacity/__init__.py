"""How much a server on this machine can take: an open-loop load generator, and a search for the knee (docs/guide/capacity.md)."""
