"""The commands of `torvyn-ref` that are too large for `cli.py`, a module each, and what all of them share."""
