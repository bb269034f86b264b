"""Two versions of a WIT package compared, and a provider held against what its consumer requires (CON-040 to CON-046)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from conformance.checks import Budget, checks
from conformance.machines.packages import edited
from conformance.models.edits import ADDED, BREAKING, MINOR, REMOVED, Edit, apply, edits, verdicts
from conformance.models.packages import Definition, Function, Interface, Package, World
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

RICH = Package(
    "acme:rich",
    "1.4.2",
    (
        Interface(
            "types",
            (
                Definition(
                    "resource", "handle", functions=(Function("size", (), "u64"), Function("put", (("bytes", "list<u8>"),), "bool"))
                ),
                Definition("resource", "spare-handle"),
                Definition("record", "meta", (("sequence", "u64"), ("interface-id", "option<string>"), ("function-kind", "u32"))),
                Definition("variant", "outcome", (("done", ""), ("failed", "string"), ("field-left", "u32"))),
                Definition("enum", "signal", (("ready", ""), ("pause", ""), ("resource-gone", ""))),
                Definition("flags", "options", (("fast", ""), ("safe", ""), ("lent", ""))),
                Definition("type", "count", (("", "u32"),)),
                Definition("type", "table", (("", "list<tuple<u32, string>>"),)),
            ),
            (
                Function("make", (("hint", "u64"),), "handle"),
                Function("look", (("at", "borrow<handle>"), ("near", "meta")), "outcome"),
                Function("look-all", (("all", "list<borrow<handle>>"), ("bytes", "list<u8>")), "result<option<u32>, string>"),
                Function("keep", (("it", "handle"),)),
                Function("borrow-rate", (), "u32"),
                Function("close"),
            ),
        ),
        Interface("source", (), (Function("pull", (), "option<string>"),)),
        Interface("sink", (), (Function("push", (("element", "string"),)),)),
        Interface("extras", (), (Function("ownership", (), "bool"),)),
    ),
    (World("plain-world", ("types",), ("source",)), World("other-world", ("types", "source"), ("sink",))),
)
"""A package with a place for every edit; its names are those of other classes of change, because a kind must not come from words."""


@cache
def rich_edits() -> tuple[Edit, ...]:
    """Return every single edit of the rich package."""
    return edits(RICH)


def _evidence(before: Package, made: Iterable[Edit], reply: p.ContractsComparedReply | None = None) -> dict[str, object]:
    made = tuple(made)
    shown: dict[str, object] = {"edits": [str(edit) for edit in made], "old": before.text(), "new": apply(before, made).text()}
    if reply is not None:
        shown |= {"verdict": reply.verdict, "changes": [_shown(change) for change in reply.changes]}
    return shown


def _shown(change: p.ContractChange) -> str:
    return f"{'/'.join(change.path)}: {change.change}, {change.severity}"


def _comparable(change: p.ContractChange) -> tuple[tuple[str, ...], str, str]:
    """Return what identifies a change; a world's import or export may be told by its full name or its short one."""
    return tuple(name.partition("@")[0].rpartition("/")[2] for name in change.path), change.change, change.severity


def _judge(budget: Budget, before: Package, made: tuple[Edit, ...], reply: p.ContractsComparedReply) -> None:
    """Hold the answer about some edits to the table."""
    evidence = _evidence(before, made, reply)
    expected = verdicts(made)
    fits = reply.verdict in expected
    budget.expect("CON-040", fits, "the verdict is wrong", expected=" or ".join(sorted(expected)), found=reply.verdict, evidence=evidence)
    found = [_comparable(change) for change in reply.changes]
    for edit in made:
        told = any(path[: len(edit.path)] == edit.path and (change, hurt) == (edit.change, edit.severity) for path, change, hurt in found)
        message = f"a change is not told as it is: {edit}"
        wanted = f"{'/'.join(edit.path)}: {edit.change}, {edit.severity}"
        budget.expect("CON-040", told or edit.optional, message, expected=wanted, found=list(map(_shown, reply.changes)), evidence=evidence)
    places = {edit.path[0] for edit in made}
    for change, (path, _, _) in zip(reply.changes, found, strict=True):
        budget.expect("CON-040", path and path[0] in places, "a change is told that nobody made", found=_shown(change), evidence=evidence)
    if reply.link_compatible is not None and made:
        links = all(edit.links for edit in made)
        hurt = links or not reply.link_compatible
        budget.expect(
            "CON-040", hurt, "what does not link any more is called link-compatible", expected=False, found=True, evidence=evidence
        )


@checks("CON-040", facet=Facet.CONTRACTS, kind="table")
def every_edit_has_its_verdict(session: Session, budget: Budget) -> None:
    """Each labelled edit of a package alone, comments and files moved, another major: verdict and change are the table's."""
    for edit in rich_edits():
        _judge(budget, RICH, (edit,), session.contracts.compare(RICH.files(), edit.apply(RICH).files()))
    apart = session.contracts.compare(RICH.files(), RICH.files_apart(commented=True))
    _judge(budget, RICH, (), apart)
    for made in ((), (next(edit for edit in rich_edits() if edit.severity == MINOR),)):
        new = replace(apply(RICH, made), version="2.0.0")
        reply = session.contracts.compare(RICH.files(), new.files())
        budget.expect_equal("CON-040", reply.verdict, "incompatible", "the verdict on another major version", evidence={"new": new.text()})


@checks("CON-040", facet=Facet.CONTRACTS, kind="machine")
def sets_of_edits_have_their_verdicts(session: Session, budget: Budget) -> None:
    """Drawn packages with several edits at once: the worst decides, each is told, and nothing else is."""

    def law(drawn: tuple[Package, tuple[Edit, ...]]) -> None:
        before, made = drawn
        _judge(budget, before, made, session.contracts.compare(before.files(), apply(before, made).files_apart()))

    budget.for_all(edited(), law, max_examples=60)


@checks("CON-041", facet=Facet.CONTRACTS, kind="machine")
def a_package_is_itself(session: Session, budget: Budget) -> None:
    """Drawn packages against themselves are compatible, without a change; and asking twice gives the same set of changes."""

    def same(package: Package, other: dict[str, str]) -> None:
        reply = session.contracts.compare(package.files(), other)
        found = (reply.verdict, tuple(map(_shown, reply.changes)), len(reply.diagnostics))
        budget.expect_equal("CON-041", found, ("compatible", (), 0), "a package against itself", evidence={"package": package.text()})

    def law(drawn: tuple[Package, tuple[Edit, ...]]) -> None:
        package, made = drawn
        same(package, package.files())
        same(package, package.files_apart(commented=True))
        new = apply(package, made).files()
        first, second = (session.contracts.compare(package.files(), new) for _ in range(2))
        one, two = ({_shown(change) for change in reply.changes} for reply in (first, second))
        budget.expect_equal("CON-041", one, two, "the changes found the first and the second time", evidence=_evidence(package, made))

    same(RICH, RICH.files())
    law((RICH, tuple(edit for edit in rich_edits() if edit.label == "reorder fields")))
    budget.for_all(edited(), law, max_examples=30)


def _only(reply: p.ContractsComparedReply, verdict: str, change: str, severity: str) -> bool:
    told = all((one.change, one.severity) == (change, severity) for one in reply.changes)
    return reply.verdict == verdict and bool(reply.changes) and told


@checks("CON-042", facet=Facet.CONTRACTS, kind="machine")
def removals_and_additions_mirror_each_other(session: Session, budget: Budget) -> None:
    """Compared both ways: breaking by removals alone exactly when the other way only adds, for single edits and drawn sets."""

    def mirrored(before: Package, made: tuple[Edit, ...]) -> None:
        old, new = before.files(), apply(before, made).files()
        forth, back = session.contracts.compare(old, new), session.contracts.compare(new, old)
        evidence = {**_evidence(before, made, forth), "changes backwards": [_shown(change) for change in back.changes]}
        for way, there, here in (("", forth, back), (" backwards", back, forth)):
            removes = _only(there, "breaking", REMOVED, BREAKING)
            adds = _only(here, "compatible-with-additions", ADDED, MINOR)
            message = f"removals{way} and additions the other way do not mirror each other"
            budget.expect("CON-042", removes == adds, message, expected=f"both {removes}", found=f"additions: {adds}", evidence=evidence)
        kinds = {edit.change for edit in made}
        if len(kinds) == 1:
            mirror = _only(forth, "breaking", REMOVED, BREAKING) if REMOVED in kinds else _only(back, "breaking", REMOVED, BREAKING)
            budget.expect("CON-042", mirror, "pure removals are not told as such", found=forth.verdict, evidence=evidence)

    for edit in rich_edits():
        if edit.dual:
            mirrored(RICH, (edit,))
    budget.for_all(edited(dual=True), lambda drawn: mirrored(*drawn), max_examples=40)


@checks("CON-043", facet=Facet.CONTRACTS, kind="machine")
def breaking_changes_have_diagnostics(session: Session, budget: Budget) -> None:
    """One diagnostic for each breaking change and none for others, each with the change's path and both versions."""

    def law(drawn: tuple[Package, tuple[Edit, ...]]) -> None:
        before, made = drawn
        after = replace(apply(before, made), version=f"{before.version.partition('.')[0] or 0}.9.9")
        reply = session.contracts.compare(before.files(), after.files())
        evidence = {**_evidence(before, made, reply), "diagnostics": [(one.kind, one.about, one.versions) for one in reply.diagnostics]}
        expected = sorted(change.path for change in reply.changes if change.severity == BREAKING)
        errors = [one for one in reply.diagnostics if one.severity == "error"]
        budget.expect_equal("CON-043", sorted(one.about for one in errors), expected, "the paths of diagnostics", evidence=evidence)
        told = [one for one in reply.diagnostics if one.severity != "error"]
        budget.expect("CON-043", not told, "a diagnostic is about no breaking change", found=told, evidence=evidence)
        for edit in made:
            if edit.severity == BREAKING:
                fits = any(one.about[: len(edit.path)] == edit.path or _short(one.about) == edit.path for one in errors)
                budget.expect("CON-043", fits, f"no diagnostic has the path of a breaking change: {edit}", evidence=evidence)
        versions = (before.version or "0.0.0", after.version)
        for one in errors:
            budget.expect_equal("CON-043", one.versions, versions, f"the versions told of {one.kind}", evidence=evidence)
        budget.expect_equal("CON-043", (reply.old_version, reply.new_version), versions, "the versions compared", evidence=evidence)

    law((RICH, tuple(edit for edit in rich_edits() if edit.label == "retarget an alias")))
    for label in ("remove an interface", "add an interface", "remove a field", "rename a parameter", "remove a world's export"):
        law((RICH, (next(edit for edit in rich_edits() if edit.label == label),)))
    budget.for_all(edited(most=5), law, max_examples=40)


def _short(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.partition("@")[0].rpartition("/")[2] for name in path)


@checks("CON-044", facet=Facet.CONTRACTS, kind="table")
def kinds_follow_the_class_of_a_change(session: Session, budget: Budget) -> None:
    """Every breaking edit alone: its diagnostic's kind is that of its class, although the names say something else."""
    for edit in rich_edits():
        if edit.severity != BREAKING:
            continue
        reply = session.contracts.compare(RICH.files(), edit.apply(RICH).files())
        kinds = {one.kind for one in reply.diagnostics if one.severity == "error"}
        fits = len(kinds) == 1 and kinds <= edit.kinds
        message = f"the kind of a diagnostic does not follow from its change: {edit}"
        budget.expect(
            "CON-044",
            fits,
            message,
            expected=" or ".join(sorted(edit.kinds)),
            found=sorted(kinds),
            evidence=_evidence(RICH, (edit,), reply),
        )


# ---- requirements


USED = Package("acme:used", "1.2.0", (Interface("wanted", (), (Function("f", (("x", "u32"),), "string"),)), Interface("other")))


def _met(session: Session, consumer: Package, provider: Package, uses: tuple[str, ...] = ("wanted",)) -> p.ContractCheckedReply:
    return session.contracts.meet(consumer.files(), provider.files(), uses)


@checks("CON-045", facet=Facet.CONTRACTS, kind="table")
def providers_of_the_same_major_and_no_older_serve(session: Session, budget: Budget) -> None:
    """A matrix of versions, from 1.0 on; then interfaces that are missing, changed, or changed and not used."""
    versions = ("1.0.0", "1.2.0", "1.2.3", "1.10.0", "2.0.0", "2.1.0", "10.0.0")
    for needed in versions:
        for offered in versions:
            low, high = (tuple(map(int, text.split("."))) for text in (needed, offered))
            expected = low[0] == high[0] and low <= high
            reply = _met(session, replace(USED, version=needed), replace(USED, version=offered))
            evidence = {"consumer": needed, "provider": offered, "diagnostics": [item.message for item in reply.diagnostics]}
            what = f"a provider of version {offered} for a consumer of {needed}"
            budget.expect_equal("CON-045", reply.ok, expected, what, evidence=evidence)
    wanted, other = USED.interfaces
    more = replace(wanted, functions=(*wanted.functions, Function("more")))
    less = replace(wanted, functions=())
    changed = replace(wanted, functions=(Function("f", (("x", "string"),), "string"),))
    cases: tuple[tuple[str, tuple[Interface, ...], bool], ...] = (
        ("with one function more", (more, other), True),
        ("without a function that is used", (less, other), False),
        ("with another signature of it", (changed, other), False),
        ("without the interface that is used", (other,), False),
        ("without one that is not", (wanted,), True),
    )
    for what, interfaces, expected in cases:
        provider = replace(USED, version="1.3.0", interfaces=interfaces)
        reply = _met(session, USED, provider)
        evidence = {"provider": provider.text(), "diagnostics": [item.message for item in reply.diagnostics]}
        budget.expect_equal("CON-045", reply.ok, expected, f"a provider {what}", evidence=evidence)


@checks("CON-046", facet=Facet.CONTRACTS, kind="table")
def before_one_a_minor_difference_warns(session: Session, budget: Budget) -> None:
    """From 0.1.0 to a provider of 0.2.0 and 0.9.1: served, with a warning; to 0.1.7 and from 1.1 to 1.2: without."""
    for needed, offered, warned in (
        ("0.1.0", "0.2.0", True),
        ("0.1.0", "0.9.1", True),
        ("0.1.0", "0.1.0", False),
        ("0.1.0", "0.1.7", False),
        ("1.1.0", "1.2.0", False),
    ):
        reply = _met(session, replace(USED, version=needed), replace(USED, version=offered))
        evidence = {"consumer": needed, "provider": offered, "diagnostics": [(one.severity, one.message) for one in reply.diagnostics]}
        budget.expect("CON-046", reply.ok, f"{offered} does not serve {needed}", evidence=evidence)
        found = any(one.severity == "warning" for one in reply.diagnostics)
        budget.expect_equal("CON-046", found, warned, f"whether there is a warning about {offered} for {needed}", evidence=evidence)
