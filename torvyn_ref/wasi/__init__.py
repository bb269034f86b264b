"""WASI 0.2, granted interface by interface."""
