"""Mutants that compare contracts wrongly: what they miss, what they make up, and what they call it (CON-040 to CON-046)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.contract.compatibility import Change, Comparison, Difference, Kind, Verdict, compare
from torvyn_ref.contract.diagnostics import Diagnostic, Severity, of_breaking, of_difference
from torvyn_ref.contract.requirements import meet
from torvyn_ref.contract.wit import Alias, Definition, Flags, Package, Record, Resource, ResultOf, Variant

Look = Callable[[Difference, Package, Package], Difference | None]
"""What becomes of one difference; None is not told."""


def comparing(name: str, *rules: str, summary: str, look: Look) -> None:
    """Register a comparison that sees some differences otherwise, or not at all."""

    def mistaken(old: Package, new: Package) -> Comparison:
        found = compare(old, new)
        seen = (look(difference, old, new) for difference in found.differences)
        return replace(found, differences=tuple(difference for difference in seen if difference is not None))

    register(name, *rules, summary=summary, build=lambda: ReferenceParts(compare=mistaken))


def _type_of(difference: Difference, package: Package) -> Definition | None:
    interface = package.interface(difference.path[0])
    return interface.definition(difference.path[1]) if interface is not None and len(difference.path) > 1 else None


def _blind(when: Callable[[Difference, Package, Package], bool]) -> Look:
    return lambda difference, old, new: None if when(difference, old, new) else difference


def _moved(difference: Difference) -> bool:
    return "another order" in difference.what


comparing(
    "fields-may-move",
    "CON-040",
    summary="The order of a record's fields is not compared.",
    look=_blind(lambda one, old, _: _moved(one) and isinstance(_type_of(one, old), Record)),
)
comparing(
    "cases-may-move",
    "CON-040",
    summary="The order of cases is not compared, although it is their number.",
    look=_blind(lambda one, old, _: _moved(one) and not isinstance(_type_of(one, old), (Record, Flags))),
)
comparing(
    "flags-are-opaque",
    "CON-040",
    summary="Flags are not looked into.",
    look=_blind(lambda one, old, new: isinstance(_type_of(one, old), Flags) and isinstance(_type_of(one, new), Flags)),
)
comparing(
    "aliases-are-opaque",
    "CON-040",
    summary="An alias may lead anywhere.",
    look=_blind(lambda one, old, new: isinstance(_type_of(one, old), Alias) and isinstance(_type_of(one, new), Alias)),
)
comparing(
    "new-resources-go-unnoticed",
    "CON-040",
    summary="A new resource is no change.",
    look=_blind(lambda one, _, new: one.change is Change.ADDED and isinstance(_type_of(one, new), Resource) and len(one.path) == 2),
)
comparing(
    "worlds-are-names",
    "CON-040",
    summary="Of worlds only the names are compared.",
    look=_blind(lambda one, old, _: old.world(one.path[0]) is not None and len(one.path) > 1),
)
comparing(
    "payloads-may-go",
    "CON-040",
    summary="A case that carries something else, or nothing any more, is the same case.",
    look=_blind(lambda one, old, _: one.change is Change.CHANGED and len(one.path) == 3 and isinstance(_type_of(one, old), Variant)),
)
comparing(
    "first-parameter-only",
    "CON-040",
    summary="Types are compared for the first parameter only.",
    look=_blind(lambda one, old, _: "the parameter" in one.what and one.path[-1] not in _first_parameters(old)),
)


def _first_parameters(package: Package) -> frozenset[str]:
    functions = (function for interface in package.interfaces for function in interface.all_functions().values())
    return frozenset(function.parameters[0].name for function in functions if function.parameters)


comparing(
    "lists-are-opaque",
    "CON-040",
    summary="What a list holds is not compared.",
    look=_blind(lambda one, _old, _new: "was list<" in one.what and "is list<" in one.what),
)


def _error_side_aside(difference: Difference, old: Package, new: Package) -> Difference | None:
    """Look at the ok side of results only."""
    functions = [package.interface(difference.path[0]) for package in (old, new)]
    one, other = (None if face is None else face.all_functions().get(difference.path[-1]) for face in functions)
    if one is None or other is None or not isinstance(one.result, ResultOf) or not isinstance(other.result, ResultOf):
        return difference
    return None if "returns something else" in difference.what and one.result.ok == other.result.ok else difference


comparing("errors-of-results-are-free", "CON-040", summary="The error side of a result is not compared.", look=_error_side_aside)


def _needless(difference: Difference, _old: Package, _new: Package) -> Difference:
    added_field = difference.breaking and difference.change is Change.ADDED and "field" in difference.what
    return replace(difference, breaking=False, kind=None) if added_field else difference


comparing("new-fields-are-additions", "CON-040", summary="A new field of a record is called a mere addition.", look=_needless)


def _imports_are_free(difference: Difference, _old: Package, _new: Package) -> Difference:
    return replace(difference, breaking=False, kind=None) if "needs the import" in difference.what else difference


comparing("imports-cost-nothing", "CON-040", summary="A world that needs one import more is compatible.", look=_imports_are_free)


class _LastDecides(Comparison):
    """Takes the last change's severity for the verdict."""

    @property
    def verdict(self) -> Verdict:
        """Return it."""
        verdict = super().verdict
        mild = verdict is Verdict.BREAKING and not self.differences[-1].breaking
        return Verdict.COMPATIBLE_WITH_ADDITIONS if mild else verdict


class _MajorsAside(Comparison):
    """Judges by structure alone."""

    @property
    def verdict(self) -> Verdict:
        """Return it."""
        return replace(Comparison("0.0.0", "0.0.0", self.differences)).verdict


def _as(kind: type[Comparison]) -> Callable[[Package, Package], Comparison]:
    def compared(old: Package, new: Package) -> Comparison:
        found = compare(old, new)
        return kind(found.old_version, found.new_version, found.differences)

    return compared


register(
    "the-last-change-decides",
    "CON-040",
    summary="The verdict is that of the last change, not of the worst one.",
    build=lambda: ReferenceParts(compare=_as(_LastDecides)),
)
register(
    "majors-do-not-matter",
    "CON-040",
    summary="Another major version with the same structure is compatible.",
    build=lambda: ReferenceParts(compare=_as(_MajorsAside)),
)


def _with_docs(old: Package, new: Package) -> Comparison:
    found = compare(old, new)
    more = [
        Difference((one.name.name,), Change.CHANGED, breaking=False, what="its documentation is another one")
        for one in old.interfaces
        if (other := new.interface(one.name.name)) is not None and other.docs != one.docs
    ]
    return replace(found, differences=(*found.differences, *more))


register(
    "documentation-is-contract",
    "CON-040",
    "CON-041",
    summary="A changed comment is a change.",
    build=lambda: ReferenceParts(compare=_with_docs),
)


def _in_file_order(old: Package, new: Package) -> Comparison:
    found = compare(old, new)
    names = [[one.name.name for one in package.interfaces] for package in (old, new)]
    moved = names[0] != names[1] and sorted(names[0]) == sorted(names[1])
    more = [Difference((names[0][0],), Change.CHANGED, breaking=False, what="it stands elsewhere")] if moved else []
    return replace(found, differences=(*found.differences, *more))


register(
    "file-order-is-contract",
    "CON-041",
    summary="Interfaces in other files, in another order, are changed ones.",
    build=lambda: ReferenceParts(compare=_in_file_order),
)


def _tired() -> ReferenceParts:
    turns = count()

    def compared(old: Package, new: Package) -> Comparison:
        found = compare(old, new)
        return replace(found, differences=found.differences[: len(found.differences) - next(turns) % 2])

    return ReferenceParts(compare=compared)


register("every-second-is-one-short", "CON-041", summary="Every second comparison leaves the last change out.", build=_tired)


def _renamed_removal(difference: Difference, _old: Package, _new: Package) -> Difference:
    return replace(difference, change=Change.CHANGED) if difference.kind is Kind.MISSING_FUNCTION else difference


comparing("removed-functions-are-changed-ones", "CON-042", summary="A function that is gone is called changed.", look=_renamed_removal)


def _one_way(difference: Difference, _old: Package, _new: Package) -> Difference | None:
    return None if difference.change is Change.ADDED and len(difference.path) == 3 else difference


comparing("new-members-go-unnoticed", "CON-042", "CON-040", summary="New cases, flags and methods are no changes.", look=_one_way)


# ---- diagnostics


def telling(name: str, *rules: str, summary: str, tell: Callable[[Comparison], Sequence[Diagnostic]]) -> None:
    """Register a comparison that says the wrong things about what it found."""
    register(name, *rules, summary=summary, build=lambda: ReferenceParts(tell_breaking=lambda found: tuple(tell(found))))


def _additions_too(found: Comparison) -> Sequence[Diagnostic]:
    versions = (found.old_version, found.new_version)
    return [replace(of_difference(one, versions), severity=Severity.WARNING) for one in found.differences if not one.breaking]


telling(
    "additions-are-told",
    "CON-043",
    summary="Additions get diagnostics, too.",
    tell=lambda found: (*of_breaking(found), *_additions_too(found)),
)
telling("first-breaking-only", "CON-043", summary="Only the first breaking change is told.", tell=lambda found: of_breaking(found)[:1])
telling(
    "no-new-version",
    "CON-043",
    summary="A diagnostic names the old version twice.",
    tell=lambda found: [replace(one, versions=(found.old_version, found.old_version)) for one in of_breaking(found)],
)
telling(
    "paths-end-at-the-type",
    "CON-043",
    summary="A diagnostic's path does not lead to the member.",
    tell=lambda found: [replace(one, about=one.about[:2]) for one in of_breaking(found)],
)


def _by_words(found: Comparison) -> Sequence[Diagnostic]:
    """Take the kind from the text, as Torvyn 0.1.1 does."""
    words = {"interface": Kind.MISSING_INTERFACE, "function": Kind.MISSING_FUNCTION, "field": Kind.FIELD_REMOVED}
    return [replace(one, kind=next((kind for word, kind in words.items() if word in one.message), one.kind)) for one in of_breaking(found)]


telling("kinds-from-words", "CON-044", summary="A diagnostic's kind is taken from words of its text.", tell=_by_words)
telling(
    "ownership-only-at-the-top",
    "CON-044",
    summary="A list of handles that are taken instead of lent is told as a changed type.",
    tell=lambda found: [replace(one, kind=Kind.TYPE_SIGNATURE) if "list<borrow<" in one.message else one for one in of_breaking(found)],
)
telling(
    "ownership-is-a-type",
    "CON-044",
    summary="A handle that is taken instead of lent is told as a changed type.",
    tell=lambda found: [replace(one, kind=Kind.TYPE_SIGNATURE) if one.kind is Kind.OWNERSHIP else one for one in of_breaking(found)],
)


# ---- requirements


def meeting(name: str, *rules: str, summary: str, meets: Callable[[Package, Package, Sequence[str]], Sequence[Diagnostic]]) -> None:
    """Register a runtime that asks something else of a provider."""
    register(
        name,
        *rules,
        summary=summary,
        build=lambda: ReferenceParts(meet=lambda consumer, provider, uses: tuple(meets(consumer, provider, uses))),
    )


def _without(kind: str) -> Callable[[Package, Package, Sequence[str]], Sequence[Diagnostic]]:
    return lambda consumer, provider, uses: [one for one in meet(consumer, provider, uses) if one.kind != kind]


meeting("older-providers-serve", "CON-045", summary="A provider may be older than what is required.", meets=_without("version-too-old"))
meeting(
    "versions-are-texts",
    "CON-045",
    summary="Versions are compared as texts: 1.10.0 is older than 1.2.0.",
    meets=lambda consumer, provider, uses: [
        *_without("version-too-old")(consumer, provider, uses),
        *(
            [Diagnostic("version-too-old", "E0122", "the text is smaller")]
            if (consumer.name.version or "") > (provider.name.version or "")
            else []
        ),
    ],
)
meeting(
    "versions-are-enough",
    "CON-045",
    summary="The interfaces that a consumer uses are not looked at.",
    meets=lambda consumer, provider, _: meet(consumer, provider, ()),
)
meeting(
    "all-interfaces-count",
    "CON-045",
    summary="A provider must have interfaces that the consumer never uses.",
    meets=lambda consumer, provider, _: meet(consumer, provider, [one.name.name for one in consumer.interfaces]),
)
meeting(
    "minors-break-before-one",
    "CON-046",
    summary="Before 1.0 another minor version is refused.",
    meets=lambda consumer, provider, uses: [
        replace(one, severity=Severity.ERROR) if one.kind == "minor-differs" else one for one in meet(consumer, provider, uses)
    ],
)
meeting("minors-are-silent", "CON-046", summary="Before 1.0 another minor version goes without a word.", meets=_without("minor-differs"))
