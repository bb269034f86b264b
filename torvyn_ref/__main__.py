"""`python -m torvyn_ref` is `torvyn-ref`."""

from torvyn_ref.cli import main

main()
