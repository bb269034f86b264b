"""Whether the suite notices anything about the reference as it stands: what a mutation tool runs after each change of its code.

`python -m conformance.mutants.probe streams resources` runs every check of these facets without making failures smaller, and ends with 1 at
the first one that does not pass, with 0 when all pass. `make mutate` uses it.
"""

from __future__ import annotations

import sys

from conformance.checks import Depth, all_checks
from conformance.execute import run_check
from conformance.mutants.matrix import KINDS
from conformance.subjects.connect import Connection, find
from conformance.subjects.protocol import Facet
from conformance.verdict import Outcome

CHECK_TIMEOUT = 30.0
"""Seconds; a mutation may be an endless loop."""


def main(arguments: list[str] | None = None) -> int:
    """Run the checks of some facets and return 0 when all of them pass."""
    facets = {Facet(name) for name in (sys.argv[1:] if arguments is None else arguments)}
    connection = Connection(find("reference"))
    try:
        for check in sorted(all_checks(), key=lambda check: (KINDS.index(check.kind), check.name)):
            if check.facet not in facets:
                continue
            result = run_check(check, connection, depth=Depth.QUICK, check_timeout=CHECK_TIMEOUT, shrink=False)
            bad = [finding for finding in result.findings if finding.outcome not in {Outcome.PASS, Outcome.UNSUPPORTED}]
            if bad:
                sys.stdout.write(f"{bad[0].rule} [{check.name}]: {bad[0].outcome}: {bad[0].message}\n")
                return 1
    finally:
        connection.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
