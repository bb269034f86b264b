"""The benchmark corpus: what one element costs in this implementation. See README.md beside this file."""
