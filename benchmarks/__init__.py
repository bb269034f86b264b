"""The benchmark corpus: what one element costs in this implementation, in CPU time.

- `python -m benchmarks` (from the repository's root) prints a table; `--format json` prints the same for machines.
- `asv check -E existing:.venv/bin/python` imports every benchmark and runs none.
- `asv run -E existing:.venv/bin/python --quick` measures the working tree as it is, committed or not, without network and without building
  anything; `--set-commit-hash $(git rev-parse HEAD)` stores the numbers under that commit, too. asv asks about the machine once:
  `asv machine --yes` answers.

`track_` numbers are medians of CPU time per element or operation; `time_` numbers are asv's own, of a whole run of `ELEMENTS`.
"""
