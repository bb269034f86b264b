"""`python -m conformance` is `torvyn-conformance`."""

from conformance.cli import main

if __name__ == "__main__":  # workers of `--jobs` import the main module, and must not start over
    main()
