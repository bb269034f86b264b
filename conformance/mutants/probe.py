"""Whether the suite notices anything about the reference as it stands: what a mutation tool runs after each change of its code.

`python -m conformance.mutants.probe streams 'BUDGET-*'` runs every check of the facet streams and of the rules BUDGET, without making
failures smaller. It ends with 1 at the first one that does not pass, with 0 when all pass. `make mutate` uses it (docs/mutation.md).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from conformance.checks import Check, Depth, all_checks
from conformance.errors import SuiteError
from conformance.execute import run_check
from conformance.mutants.matrix import KINDS
from conformance.plan import select
from conformance.rulebook import load
from conformance.subjects.connect import Connection, find
from conformance.subjects.protocol import Facet
from conformance.verdict import Outcome

CHECK_TIMEOUT = 30.0
"""Seconds; a mutation may be an endless loop."""

USAGE = 64


def chosen(words: Iterable[str]) -> list[Check]:
    """Return the checks of some facets and rules, those that cost least first.

    Raises:
        SuiteError: nothing is named, or a word names neither a facet nor a rule.
    """
    names = list(words)
    if not names:
        raise SuiteError("nothing to run: name facets (streams) or rules (WMK-004, WMK, 'WMK-*')")
    facets = {Facet(name) for name in names if name in set(Facet)}
    patterns = [name for name in names if name not in facets]
    rules = {rule.id for rule in select(load(), patterns)} if patterns else set[str]()
    found = [check for check in all_checks() if check.facet in facets or rules.intersection(check.rules)]
    return sorted(found, key=lambda check: (KINDS.index(check.kind), check.name))


def main(arguments: list[str] | None = None) -> int:
    """Run the checks of some facets and rules, and return 0 when all of them pass."""
    try:
        checks = chosen(sys.argv[1:] if arguments is None else arguments)
    except SuiteError as error:
        sys.stderr.write(f"probe: {error}\n")
        return USAGE
    connection = Connection(find("reference"))
    try:
        for check in checks:
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
