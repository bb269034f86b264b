"""The checks, a module per area of the specification; importing a module registers its checks."""
