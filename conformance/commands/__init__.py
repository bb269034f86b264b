"""The commands of `torvyn-conformance`, a module each; `conformance.cli` registers them."""
