"""A component's project, checked before it is built: what is wrong with manifest and WIT, and how that is told (CON-020 to CON-030)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from hypothesis import strategies as st

from conformance.checks import Budget, checks
from conformance.errors import Inconclusive
from conformance.models.contracts import MANIFEST, project, world
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

SEED, RANDOM, CLOCK = "wasi:random/insecure-seed@0.2.3", "wasi:random/random@0.2.3", "wasi:clocks/wall-clock@0.2.3"
CODE = re.compile(r"E[0-9]{4}")


def told(reply: p.ContractCheckedReply) -> list[str]:
    """Return a reply's diagnostics for people."""
    found = []
    for one in reply.diagnostics:
        places = " ".join(f"{place.file}:{place.line}:{place.column}" for place in one.locations)
        found.append(f"{one.severity} {one.kind} {places} {'/'.join(one.about)}: {one.message}")
    return found


def evidence_of(files: Mapping[str, bytes], reply: p.ContractCheckedReply) -> dict[str, object]:
    """Return the project's own files, and what was said of them."""
    own = {name: text.decode(errors="replace") for name, text in files.items() if not name.startswith("wit/deps/")}
    return {**own, "diagnostics": told(reply)}


def must_pass(session: Session) -> None:
    """Make sure that a good project passes, or nothing can be said.

    Raises:
        Inconclusive: it does not.
    """
    reply = session.contracts.check(project())
    if not reply.ok:
        raise Inconclusive(f"a good project does not pass: {told(reply)}")


def expect_kind(
    session: Session, budget: Budget, rule: str, what: str, files: dict[str, bytes], *kinds: str, severity: str = "error"
) -> list[p.Diagnostic]:
    """Expect diagnostics of one of these kinds, and that errors fail the check; return them."""
    reply = session.contracts.check(files)
    fitting = [one for one in reply.diagnostics if one.kind in kinds and one.severity == severity]
    evidence = evidence_of(files, reply)
    expected = f"{severity} {' or '.join(kinds)}"
    budget.expect(rule, fitting, f"{what} is not reported", expected=expected, found=told(reply), evidence=evidence)
    if severity == "error":
        budget.expect(rule, not reply.ok, f"{what} passes the check", evidence=evidence)
    return fitting


def expect_none(session: Session, budget: Budget, rule: str, what: str, files: dict[str, bytes], *kinds: str) -> None:
    """Expect that a project passes; with kinds, only that nothing is said of these kinds."""
    reply = session.contracts.check(files)
    wrong = [one for one in reply.diagnostics if (one.kind in kinds if kinds else one.severity == "error")]
    budget.expect(rule, not wrong, f"{what} is reported", found=told(reply), evidence=evidence_of(files, reply))
    if not kinds:
        budget.expect(rule, reply.ok, f"{what} does not pass", found=told(reply), evidence=evidence_of(files, reply))


@checks("CON-020", facet=Facet.CONTRACTS, kind="table")
def broken_manifests_are_told_with_their_line(session: Session, budget: Budget) -> None:
    """No manifest, one that is no text, and mistakes of TOML on lines 1, 3 and 5: manifest-parse, with the line."""
    must_pass(session)
    expect_kind(session, budget, "CON-020", "a project without a manifest", project(None), "manifest-parse")
    expect_kind(session, budget, "CON-020", "a manifest that is no text", project(b"\xff\xfe[component]"), "manifest-parse")
    for line, text in (
        (1, '[component\nname = "greeter"\nversion = "0.1.0"\n'),
        (3, '[component]\nname = "greeter"\nversion = 0.1.0\n'),
        (5, f"{MANIFEST}\nabout greeting\n"),
    ):
        files = project(text)
        for one in expect_kind(session, budget, "CON-020", f"a mistake on line {line}", files, "manifest-parse"):
            place = next(((place.file, place.line) for place in one.locations), None)
            budget.expect_equal("CON-020", place, ("Torvyn.toml", line), "the place of the mistake", evidence={"Torvyn.toml": text})


@checks("CON-021", facet=Facet.CONTRACTS, kind="table")
def both_forms_of_the_table_are_read(session: Session, budget: Budget) -> None:
    """Four forms that are read, each with its name and version really read; and four manifests that are missing the table."""
    must_pass(session)
    identity = 'name = "greeter"\nversion = "{}"\n'
    forms = {
        "[component]": f"[component]\n{identity}",
        "[torvyn] alone": f'[torvyn]\n{identity}contract_version = "0.1.0"\n',
        "[torvyn] with [[component]]": f'[torvyn]\n{identity}contract_version = "0.1.0"\n[[component]]\nname = "a"\npath = "a.wasm"\n',
        "[[component]] alone": f'[[component]]\n{identity}\n[[component]]\nname = "second"\nversion = "x"\n',
    }
    for form, text in forms.items():
        expect_none(session, budget, "CON-021", f"a manifest with {form}", project(text.format("0.1.0")))
        files = project(text.format("one"))
        expect_kind(session, budget, "CON-021", f"a bad version in a manifest with {form}", files, "version-error")
    for what, text in (
        ("neither table", 'name = "greeter"\nversion = "0.1.0"\n[capabilities]\n'),
        ("a component that is a text", 'component = "greeter"\n'),
        ("a component that is a number", "component = 1\n"),
        ("an empty array of components", "component = []\n"),
    ):
        expect_kind(session, budget, "CON-021", f"a manifest with {what}", project(text), "missing-field")


@checks("CON-022", facet=Facet.CONTRACTS, kind="table")
def name_and_version_identify_a_component(session: Session, budget: Budget) -> None:
    """Names and versions that are missing, empty or malformed, and versions of all forms that semantic versioning has."""
    must_pass(session)
    for what, text, kinds in (
        ("a missing name", '[component]\nversion = "0.1.0"\n', ("missing-field",)),
        ("an empty name", '[component]\nname = ""\nversion = "0.1.0"\n', ("missing-field",)),
        ("a missing version", '[component]\nname = "greeter"\n', ("missing-field",)),
        ("an empty version", '[component]\nname = "greeter"\nversion = ""\n', ("missing-field", "version-error")),
    ):
        expect_kind(session, budget, "CON-022", what, project(text), *kinds)
    for version in ("1.0", "1", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0+", "one", "1.0.x", " 1.0.0", "^1.0.0"):
        files = project(MANIFEST.replace("0.1.0", version))
        expect_kind(session, budget, "CON-022", f"the version {version!r}", files, "version-error")
    for version in ("0.1.0", "0.1.0-rc.1", "1.2.3-alpha.10.x-y", "1.0.0+build.5", "10.20.30-0.a+b-c", "0.0.0"):
        files = project(MANIFEST.replace("0.1.0", version))
        expect_none(session, budget, "CON-022", f"the version {version!r}", files, "version-error", "missing-field")


def _declaring(lines: str, part: str = "required") -> str:
    return f"{MANIFEST}[capabilities.{part}]\n{lines}\n"


@checks("CON-023", facet=Facet.CONTRACTS, kind="table")
def only_true_declares(session: Session, budget: Budget) -> None:
    """A capability that is `true` is declared, `false` is not, and a text, a number, an array or a table is an error."""
    must_pass(session)
    worlds = (world(f"import {RANDOM}"),)
    for part in ("required", "optional"):
        for value in ('"yes"', '"true"', "1", "0", "[]", "[true]", "{ granted = true }", "1.5"):
            files = project(_declaring(f"wasi-random = {value}", part), *worlds)
            about = expect_kind(session, budget, "CON-023", f"a capability with the value {value}", files, "capability-error")
            named = any("wasi-random" in (*one.about, *one.message.replace(":", " ").split()) for one in about)
            budget.expect("CON-023", named, "the error does not name the capability", found=[one.message for one in about])
        declared = project(_declaring("wasi-random = true", part), *worlds)
        expect_none(session, budget, "CON-023", f"a capability that is true under {part}", declared)
        withdrawn = project(_declaring("wasi-random = false", part), *worlds)
        expect_kind(session, budget, "CON-023", f"an import of a capability that is false under {part}", withdrawn, "capability-mismatch")


@checks("CON-024", facet=Facet.CONTRACTS, kind="table")
def sizes_are_read_or_refused(session: Session, budget: Budget) -> None:
    """Sizes of the forms that configuration knows pass; anything else is an error, for both keys."""
    must_pass(session)
    for key in ("max-buffer-size", "max-memory"):
        for value in ("lots", "", "12 parsecs", "-1", "1.5MiB", "MiB", "0x10", "1_000", "16TiB"):
            files = project(_declaring(f'{key} = "{value}"', "torvyn"))
            expect_kind(session, budget, "CON-024", f"{key} = {value!r}", files, "capability-error")
        for value in ("512", "64KiB", "16MiB", "1GiB", "16m"):
            files = project(_declaring(f'{key} = "{value}"\nbuffer-pool-access = "large"', "torvyn"))
            expect_none(session, budget, "CON-024", f"{key} = {value!r}", files)


@checks("CON-025", facet=Facet.CONTRACTS, kind="table")
def broken_wit_is_told_with_its_place(session: Session, budget: Budget) -> None:
    """No WIT at all, and mistakes of syntax in the first and in a second file, each told with file and line."""
    must_pass(session)
    expect_kind(session, budget, "CON-025", "a project without WIT", project(wit={}), "wit-package-declaration")
    head = "package acme:greeter@0.1.0;\n"
    good = head + "\n" + world()
    for name, line, files in (
        ("world.wit", 4, {"world.wit": f"{head}\nworld greeter {{\n    import ;\n}}\n"}),
        ("world.wit", 3, {"world.wit": f"{head}\nwrold greeter {{ }}\n"}),
        ("more.wit", 5, {"world.wit": good, "more.wit": f"{head}\ninterface helper {{\n    f: func();\n    g: fnuc();\n}}\n"}),
        ("more.wit", 2, {"world.wit": good, "more.wit": f"{head}interface helper {{ type t = list<; }}\n"}),
    ):
        asked = project(wit=files)
        for one in expect_kind(session, budget, "CON-025", "a mistake of syntax", asked, "wit-syntax-error"):
            places = [(place.file.rpartition("/")[2], place.line) for place in one.locations]
            budget.expect_equal("CON-025", places[:1], [(name, line)], "the place of the mistake", evidence={**files, "said": one.message})


LONG = """\
package acme:greeter@0.1.0;

/// Says hello.
/* a comment
   of two lines */
interface words {
    // one more
    type line = string;

    say: func(to: line)
        -> line;
}

world greeter {
    import torvyn:streaming/types@0.1.0;
    export torvyn:streaming/processor@0.1.0;
}
"""
"""A package with lines of every sort."""


@checks("CON-025", facet=Facet.CONTRACTS, kind="machine")
def mistakes_are_where_they_are(session: Session, budget: Budget) -> None:
    """A character that is no WIT, put anywhere outside of comments: a syntax error in that file, on that line."""
    expect_none(session, budget, "CON-025", "a package with comments", project(wit={"world.wit": LONG}))
    lines = LONG.splitlines()
    open_to_it = [number for number, line in enumerate(lines) if not line.strip().startswith(("/", "of two"))]

    def law(drawn: tuple[int, int, str]) -> None:
        number, column, strange = drawn
        line = lines[number]
        at = min(column, len(line))
        changed = [*lines[:number], f"{line[:at]}{strange}{line[at:]}", *lines[number + 1 :]]
        files = {"world.wit": "\n".join(changed) + "\n"}
        found = expect_kind(session, budget, "CON-025", f"{strange!r} on line {number + 1}", project(wit=files), "wit-syntax-error")
        places = {(place.file.rpartition("/")[2], place.line) for one in found for place in one.locations[:1]}
        budget.expect_equal("CON-025", places, {("world.wit", number + 1)}, "the place of the mistake", evidence=files)

    places = st.tuples(st.sampled_from(open_to_it), st.integers(0, 40), st.sampled_from(("$", "?", "!", "\\", "^")))
    budget.for_all(places, law, max_examples=25)


@checks("CON-026", facet=Facet.CONTRACTS, kind="table")
def a_world_must_export_a_role(session: Session, budget: Budget) -> None:
    """Worlds of each role pass, also as the second of two; helpers and names that only begin like a role do not."""
    must_pass(session)
    helper = "interface helper { f: func(); }\n"
    for role in ("source", "processor", "sink", "filter", "router", "aggregator"):
        expect_none(session, budget, "CON-026", f"a world that exports {role}", project(MANIFEST, world(role=role)))
    two = project(MANIFEST, helper, world("export helper", name="first", role=""), world(name="second"))
    expect_none(session, budget, "CON-026", "a second world that exports a role", two)
    for what, texts in (
        ("a world that exports only a helper", (helper, world("export helper", role=""))),
        ("a world that exports nothing", (world(role=""),)),
        ("a package without a world", (helper,)),
        ("a world that only imports a role", (world("import torvyn:streaming/processor@0.1.0", role=""),)),
        ("an export that begins like a role", ("interface sinkhole { f: func(); }\n", world("export sinkhole", role=""))),
        ("an export that ends like a role", ("interface kitchen-sink { f: func(); }\n", world("export kitchen-sink", role=""))),
    ):
        expect_kind(session, budget, "CON-026", what, project(MANIFEST, *texts), "no-exported-interface")


@checks("CON-027", facet=Facet.CONTRACTS, kind="table")
def undeclared_imports_are_told_once(session: Session, budget: Budget) -> None:
    """WASI imports without a declaration: once for each world and import, insecure-seed included; none for those that are declared."""
    must_pass(session)
    cases = (
        ("insecure-seed", MANIFEST, (world(f"import {SEED}"),), 1),
        ("random", MANIFEST, (world(f"import {RANDOM}"),), 1),
        ("two interfaces", MANIFEST, (world(f"import {SEED}", f"import {CLOCK}"),), 2),
        ("one interface in two worlds", MANIFEST, (world(f"import {SEED}"), world(f"import {SEED}", name="other")), 2),
        ("one of two that is declared", _declaring("wasi-random = true"), (world(f"import {SEED}", f"import {CLOCK}"),), 1),
        ("what is declared", _declaring("wasi-random = true\nwasi-clocks = true"), (world(f"import {SEED}", f"import {CLOCK}"),), 0),
        ("what is declared as optional", _declaring("wasi-random = true", "optional"), (world(f"import {SEED}"),), 0),
    )
    for what, manifest, worlds, expected in cases:
        files = project(manifest, *worlds)
        reply = session.contracts.check(files)
        found = [one for one in reply.diagnostics if one.kind == "capability-mismatch" and one.severity == "error"]
        evidence = evidence_of(files, reply)
        budget.expect_equal("CON-027", len(found), expected, f"the number of mismatches for {what}", evidence=evidence)
        different = {(one.about, one.message) for one in found}
        budget.expect_equal("CON-027", len(different), expected, f"the number of different mismatches for {what}", evidence=evidence)
        budget.expect_equal("CON-027", reply.ok, not expected, f"whether {what} passes", evidence=evidence)


@checks("CON-028", facet=Facet.CONTRACTS, kind="example")
def unused_requirements_are_told(session: Session, budget: Budget) -> None:
    """A required capability that no world imports gives a warning, and passes; one that is imported gives none."""
    must_pass(session)
    unused = project(_declaring("wasi-random = true"))
    reply = session.contracts.check(unused)
    warned = [one for one in reply.diagnostics if one.severity == "warning" and "wasi-random" in f"{one.about} {one.message}"]
    budget.expect(
        "CON-028", warned and reply.ok, "an unused capability gives no warning", found=told(reply), evidence=evidence_of(unused, reply)
    )
    used = project(_declaring("wasi-random = true"), world(f"import {RANDOM}"))
    expect_none(session, budget, "CON-028", "a used capability", used, *(one.kind for one in warned))


@checks("CON-029", facet=Facet.CONTRACTS, kind="table")
def versions_that_differ_warn_for_the_own_package(session: Session, budget: Budget) -> None:
    """The component's own package at another version than its manifest warns, once, and passes; vendored packages never do."""
    must_pass(session)
    for package, manifest, warned in (
        ("acme:greeter@0.2.0", MANIFEST, True),
        ("acme:greeter@0.1.1", MANIFEST, True),
        ("acme:greeter@0.1.0", MANIFEST, False),
        ("acme:greeter@0.2.0", MANIFEST.replace("0.1.0", "0.2.0"), False),  # and torvyn:streaming stays 0.1.0
        ("acme:greeter@3.0.0-rc.1", MANIFEST.replace("0.1.0", "3.0.0-rc.1"), False),
    ):
        files = project(manifest, package=package)
        reply = session.contracts.check(files)
        found = [one for one in reply.diagnostics if one.kind == "unsatisfiable-version"]
        evidence = evidence_of(files, reply)
        budget.expect_equal("CON-029", len(found), int(warned), f"the number of warnings about {package}", evidence=evidence)
        fits = all(one.severity == "warning" and "greeter" in f"{one.about} {one.message}" for one in found)
        budget.expect("CON-029", fits and reply.ok, "a version that differs is no warning about the own package", evidence=evidence)


def _assorted() -> Iterator[dict[str, bytes]]:
    yield project()
    yield project(None)
    yield project('[component]\nname = ""\nversion = "x"\n[capabilities.required]\na = 1\n')
    yield project(_declaring("wasi-clocks = true"), package="acme:greeter@0.2.0")
    worlds = [world(f"import {SEED}", f"import {CLOCK}", name=name) for name in ("last", "first", "middle")]
    yield project(_declaring('wasi-stdout = true\nbroken = "yes"'), *worlds, package="acme:greeter@0.3.0")
    head = "package acme:greeter@0.1.0;\n"
    yield project(wit={"zebra.wit": f"{head}\n\nwrold a {{}}\n", "ant.wit": f"{head}interface ;\n"})
    yield project(wit={})


@checks("CON-030", facet=Facet.CONTRACTS, kind="table")
def diagnostics_have_a_shape_and_an_order(session: Session, budget: Budget) -> None:
    """Projects with several findings: each has a code, a message and places that make sense; errors decide; places sort."""
    must_pass(session)
    for files in _assorted():
        reply = session.contracts.check(files)
        evidence = evidence_of(files, reply)
        errors = [one for one in reply.diagnostics if one.severity == "error"]
        budget.expect_equal("CON-030", reply.ok, not errors, "whether the check is ok", evidence=evidence)
        for one in reply.diagnostics:
            shown = f"{one.severity} {one.kind}"
            budget.expect("CON-030", CODE.fullmatch(one.code), f"{shown} has no code", expected="E0000", found=one.code, evidence=evidence)
            budget.expect("CON-030", one.message.strip(), f"{shown} has no message", evidence=evidence)
            for place in one.locations:
                fits = place.file in files or place.file in {"Torvyn.toml", "wit"}
                message = f"{shown} has a place in no file of the project"
                budget.expect("CON-030", fits and (place.line or not place.column), message, found=place, evidence=evidence)
        keys = [_place(one) for one in reply.diagnostics]
        budget.expect_equal("CON-030", keys, sorted(keys), "the order of places, those without one last", evidence=evidence)


def _place(diagnostic: p.Diagnostic) -> tuple[bool, str, int, int]:
    if not diagnostic.locations:
        return True, "", 0, 0
    first = diagnostic.locations[0]
    return False, first.file, first.line, first.column
