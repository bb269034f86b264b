"""Where randomness comes from: one seed per check, and a generator that sees nothing but its seed.

Hypothesis mixes constants from every local module that happens to be imported into its examples. That would make a check draw other
examples in process than over stdio, in a test run than on the command line, and it would show the judge the source text of the accused.
During a check the generator therefore knows its own built-in constants only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager


def derive(seed: int, name: str) -> int:
    """Return a check's own 64-bit seed: independent of the other checks, of their order, and of who runs them."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


@contextmanager
def blind() -> Iterator[None]:
    """Let Hypothesis generate without looking at the modules of this process, for the time of a check.

    The library has no setting for this, so a private function is replaced; a test holds it to its effect.
    """
    from hypothesis.internal.conjecture import providers  # noqa: PLC0415 -- the pytest plugin imports this module in every run
    from hypothesis.internal.constants_ast import Constants  # noqa: PLC0415 -- as above

    nothing = Constants()
    seeing = providers._get_local_constants  # noqa: SLF001 -- see above
    providers.CONSTANTS_CACHE.cache.clear()
    providers._get_local_constants = lambda: nothing  # noqa: SLF001 -- see above
    try:
        yield
    finally:
        providers._get_local_constants = seeing  # noqa: SLF001 -- see above
        providers.CONSTANTS_CACHE.cache.clear()
