"""Drawn capabilities: texts of every kind, from so few words that one often covers the other."""

from __future__ import annotations

from hypothesis import strategies as st

from conformance.models.capabilities import KINDS, LAST_PORT, NET, PATH, POOL

PARTS = ("data", "data2", "dat", "in", ".", "..", "")
HOSTS = ("a.com", "x.a.com", "*.a.com", "*.x.a.com", "y.x.a.com", "nota.com", "b.org", "A.com", "*.B.org")
EDGES = (0, 1, 79, 80, 81, 443, LAST_PORT - 1, LAST_PORT)
POOLS = ("small", "large", "Small", "smal", "a:b")

BY_SCOPE = {scope: tuple(kind for kind, (narrowed_by, _) in KINDS.items() if narrowed_by == scope) for scope in (PATH, NET, POOL)}


def paths() -> st.SearchStrategy[str]:
    """Draw absolute paths, some of which climb too high, with slashes at the end and in doubles."""
    return st.lists(st.sampled_from(PARTS), max_size=4).map(lambda parts: "/" + "/".join(parts))


@st.composite
def networks(draw: st.DrawFn, some_hosts: tuple[str, ...] = HOSTS, edges: tuple[int, ...] = EDGES) -> str:
    """Draw hosts and ports, either of which may be missing."""
    hosts = draw(st.lists(st.sampled_from(some_hosts), max_size=3))
    ends = st.tuples(st.sampled_from(edges), st.sampled_from(edges)).map(sorted)
    ports = draw(st.lists(ends, max_size=2))
    text = ",".join(hosts) or "*"
    return f"{text}:{','.join(str(low) if low == high else f'{low}-{high}' for low, high in ports)}" if ports else text


@st.composite
def capabilities(draw: st.DrawFn, kind: str | None = None) -> str:
    """Draw a capability, of a kind or of any."""
    chosen = kind if kind is not None else draw(st.sampled_from(sorted(KINDS)))
    narrowed_by, required = KINDS[chosen]
    if narrowed_by == PATH:
        return f"{chosen}:{draw(paths())}"
    if narrowed_by == NET:
        return draw(st.one_of(st.just(chosen), networks().map(lambda scope: f"{chosen}:{scope}")))
    if narrowed_by == POOL:
        named = st.sampled_from(POOLS).map(lambda pool: f"{chosen}:{pool}")
        return draw(named if required else st.one_of(st.just(chosen), named))
    return chosen


@st.composite
def alike(draw: st.DrawFn, number: int) -> tuple[str, ...]:
    """Draw capabilities of one kind, of those that can be narrowed, from few words: one often covers the other, or almost does.

    Paths are of one tree, networks of two or three hosts and ports.
    """
    narrowed_by = draw(st.sampled_from((PATH, PATH, NET, NET, NET, POOL)))
    kind = draw(st.sampled_from(BY_SCOPE[narrowed_by]))
    if narrowed_by == POOL:
        return tuple(draw(capabilities(kind)) for _ in range(number))
    if narrowed_by == NET:
        hosts = tuple(draw(st.lists(st.sampled_from(HOSTS), min_size=2, max_size=3, unique=True)))
        edges = tuple(draw(st.lists(st.sampled_from(EDGES), min_size=1, max_size=3, unique=True)))
        return tuple(f"{kind}:{scope}" for scope in draw(st.lists(networks(hosts, edges), min_size=number, max_size=number)))
    trunk = draw(st.lists(st.sampled_from(("data", "in", "a")), min_size=1, max_size=4))
    some = st.tuples(st.integers(0, len(trunk)), st.lists(st.sampled_from(PARTS), max_size=2))
    return tuple(f"{kind}:/{'/'.join([*trunk[:length], *more])}" for length, more in draw(st.lists(some, min_size=number, max_size=number)))


@st.composite
def manifests(draw: st.DrawFn) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Draw what a component declares, and what it is granted: mostly of one kind, so that they meet."""
    family = draw(alike(5))
    others = draw(st.lists(capabilities(), max_size=2))
    some = st.sampled_from([*family, *others])
    declared = draw(st.lists(st.tuples(st.sampled_from(("", "", "?")), some).map("".join), max_size=4))
    granted = draw(st.lists(st.one_of(some, some, capabilities()), max_size=5))
    return tuple(declared), tuple(granted)
