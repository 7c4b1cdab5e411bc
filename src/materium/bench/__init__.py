"""How fast this machine can be, how fast Materium is on it, and the ratio of the two."""
