"""Mutants that read a component's project too kindly, or tell of it badly (CON-020 to CON-030)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.contract.check import check
from torvyn_ref.contract.diagnostics import Diagnostic, Location, Severity

Tell = Callable[[Sequence[Diagnostic]], Sequence[Diagnostic]]


def telling(name: str, *rules: str, summary: str, tell: Tell) -> None:
    """Register a check whose findings are others."""
    register(name, *rules, summary=summary, build=lambda: ReferenceParts(check_component=lambda root: tuple(tell(check(root)))))


def reading(name: str, *rules: str, summary: str, pattern: str, replacement: str, files: str = "Torvyn.toml") -> None:
    """Register a check that takes some text for another."""

    def misread(root: Path) -> tuple[Diagnostic, ...]:
        for path in root.glob(files):
            text = path.read_bytes().decode(errors="surrogateescape")
            path.write_bytes(re.sub(pattern, replacement, text).encode(errors="surrogateescape"))
        return check(root)

    register(name, *rules, summary=summary, build=lambda: ReferenceParts(check_component=misread))


def _without(*kinds: str) -> Tell:
    return lambda found: [one for one in found if one.kind not in kinds]


def _at_line_one(one: Diagnostic) -> Diagnostic:
    return replace(one, locations=tuple(replace(place, line=1, column=1) for place in one.locations))


telling("missing-manifests-pass", "CON-020", summary="A project whose manifest cannot be read passes.", tell=_without("manifest-parse"))
telling(
    "mistakes-are-on-line-one",
    "CON-020",
    "CON-025",
    summary="Every mistake is said to be on the first line.",
    tell=lambda found: [_at_line_one(one) for one in found],
)
reading(
    "component-tables-only",
    "CON-021",
    summary="[torvyn] is not read.",
    pattern=r"\[torvyn\]",
    replacement="[unread]",
)
reading(
    "the-last-component-counts",
    "CON-021",
    summary="Of an array of components the last one is taken.",
    pattern=r"(?s)\[\[component\]\](.*)\[\[component\]\](.*)",
    replacement=r"[[component]]\2[[component]]\1",
)
reading(
    "arrays-are-tables",
    "CON-021",
    summary="An empty array of components is a component that has a name and a version.",
    pattern=r"component = \[\]",
    replacement='component = { name = "x", version = "0.1.0" }',
)
reading("names-are-optional", "CON-022", summary="An empty name is a name.", pattern=r'name = ""', replacement='name = "unnamed"')
telling(
    "missing-versions-pass",
    "CON-022",
    summary="A manifest without a version passes.",
    tell=lambda found: [one for one in found if not (one.kind == "missing-field" and one.about[0].endswith(".version"))],
)
reading("versions-are-padded", "CON-022", summary="1.0 is taken for 1.0.0.", pattern=r'"1\.0"', replacement='"1.0.0"')
reading(
    "prereleases-are-no-versions",
    "CON-022",
    summary="A version with a prerelease is refused.",
    pattern=r'version = "[0-9.]+-.*"',
    replacement='version = "x"',
)
reading(
    "zeros-may-lead",
    "CON-022",
    summary="Numbers of a version may begin with zeros.",
    pattern=r'"0([0-9]\.[0-9]\.[0-9])"',
    replacement=r'"\1"',
)
reading("yes-declares", "CON-023", summary="A text declares a capability, too.", pattern=r'= "(yes|true)"', replacement="= true")
reading(
    "odd-values-are-ignored",
    "CON-023",
    summary="A capability whose value is a number, an array or a table is not declared, as in Torvyn 0.1.1.",
    pattern=r"wasi-random = ([0-9\[{]).*",
    replacement="wasi-random = false",
)
reading("false-declares", "CON-023", summary="A capability that is false is declared.", pattern=r"= false", replacement="= true")
reading("lots-is-nothing", "CON-024", summary="A size that cannot be read is zero.", pattern=r'= "lots"', replacement='= "0"')
reading("fractions-are-sizes", "CON-024", summary="A size may have a fraction.", pattern=r'"1\.5MiB"', replacement='"1MiB"')


def _comments_aside(root: Path) -> tuple[Diagnostic, ...]:
    """Count the lines of a block comment as one."""
    found = check(root)
    text = (root / "wit" / "world.wit").read_text() if (root / "wit" / "world.wit").exists() else ""
    more = {number for number, line in enumerate(text.splitlines(), 1) if line.strip().startswith("of two lines")}
    return tuple(
        replace(one, locations=tuple(replace(place, line=place.line - sum(line < place.line for line in more)) for place in one.locations))
        for one in found
    )


register(
    "comments-are-one-line",
    "CON-025",
    summary="Behind a comment of several lines, places are too high up.",
    build=lambda: ReferenceParts(check_component=_comments_aside),
)
telling("no-wit-is-fine", "CON-025", summary="A project without WIT passes.", tell=_without("wit-package-declaration"))


def _swallowed(found: Sequence[Diagnostic]) -> Sequence[Diagnostic]:
    """Say of broken WIT that there is none, as Torvyn 0.1.1 does."""
    return [
        replace(one, kind="wit-package-declaration", code="E0102", locations=()) if one.kind == "wit-syntax-error" else one for one in found
    ]


telling("broken-wit-is-no-wit", "CON-025", summary="Of broken WIT is said that there is no package.", tell=_swallowed)
telling("helpers-are-enough", "CON-026", summary="No world need export a role.", tell=_without("no-exported-interface"))
reading(
    "roles-by-their-beginning",
    "CON-026",
    summary="An export whose name begins like a role gives one.",
    pattern=r"sinkhole",
    replacement="sink",
    files="wit/*.wit",
)


def _seen_twice(found: Sequence[Diagnostic]) -> Sequence[Diagnostic]:
    """Tell of insecure-seed for each row of the table that it matches, as Torvyn 0.1.1 does."""
    again = [one for one in found if one.kind == "capability-mismatch" and "insecure-seed" in one.message]
    return sorted([*found, *again], key=lambda one: (not one.locations, [place.file for place in one.locations]))


def _one_per_import(found: Sequence[Diagnostic]) -> Sequence[Diagnostic]:
    seen: dict[tuple[str, ...], Diagnostic] = {}
    for one in found:
        seen.setdefault((one.kind, one.about[1]) if one.kind == "capability-mismatch" else (one.kind, one.message), one)
    return list(seen.values())


telling("insecure-seeds-count-twice", "CON-027", summary="An undeclared insecure-seed is told twice.", tell=_seen_twice)
telling("worlds-are-one", "CON-027", summary="An import that two worlds have is told of one.", tell=_one_per_import)
telling("imports-need-no-declaration", "CON-027", summary="Undeclared imports pass.", tell=_without("capability-mismatch"))
telling("unused-is-silent", "CON-028", summary="A capability that nobody needs goes without a word.", tell=_without("unused-capability"))
telling(
    "versions-may-differ",
    "CON-029",
    summary="Another version of the own package goes without a word.",
    tell=_without("unsatisfiable-version"),
)
telling(
    "versions-must-not-differ",
    "CON-029",
    summary="Another version of the own package is an error.",
    tell=lambda found: [replace(one, severity=Severity.ERROR) if one.kind == "unsatisfiable-version" else one for one in found],
)


def _vendored_too(root: Path) -> tuple[Diagnostic, ...]:
    """Warn of every vendored package, as Torvyn 0.1.1 does."""
    text = (root / "Torvyn.toml").read_text() if (root / "Torvyn.toml").exists() else ""
    version = re.search(r'version = "(.*)"', text)
    found = list(check(root))
    if version is not None and version[1] != "0.1.0":
        place = (Location("wit/deps/torvyn-streaming/package.wit", 1),)
        message = "the package torvyn:streaming@0.1.0 is not of the manifest's version"
        found.append(Diagnostic("unsatisfiable-version", "E0122", message, Severity.WARNING, place))
    return tuple(found)


register(
    "vendored-versions-warn",
    "CON-029",
    summary="Vendored packages are warned about, too.",
    build=lambda: ReferenceParts(check_component=_vendored_too),
)
telling(
    "codes-are-numbers",
    "CON-030",
    summary="A diagnostic's code has no letter.",
    tell=lambda found: [replace(one, code=one.code.removeprefix("E")) for one in found],
)
telling("diagnostics-backwards", "CON-030", summary="Diagnostics are told in the opposite order.", tell=lambda found: found[::-1])
telling(
    "places-last",
    "CON-030",
    summary="What has no place is told first.",
    tell=lambda found: sorted(
        [replace(one, locations=()) if one.kind == "capability-error" else one for one in found], key=lambda one: bool(one.locations)
    ),
)
