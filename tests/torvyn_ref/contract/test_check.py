import pytest

from conformance.models.contracts import MANIFEST, project, streaming, world
from torvyn_ref.contract import wit
from torvyn_ref.contract.check import check
from torvyn_ref.contract.compatibility import Verdict, compare
from torvyn_ref.contract.composition import Part, compose
from torvyn_ref.contract.diagnostics import Diagnostic, Location, in_order, is_ok


@pytest.fixture
def found(tmp_path):
    def write_and_check(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return check(tmp_path)

    return write_and_check


def told(diagnostics):
    return [(str(one.severity), one.kind, [f"{place.file}:{place.line}" for place in one.locations]) for one in diagnostics]


def test_a_project_in_order_has_no_finding(found):
    assert found(project()) == ()


def test_findings_have_places_relative_to_the_project(found):
    files = project(f"{MANIFEST}[capabilities.required]\nwasi-stdout = true\n", world("import wasi:random/random@0.2.3"))
    assert told(found(files)) == [
        ("warning", "unused-capability", ["Torvyn.toml:0"]),
        ("error", "capability-mismatch", ["wit/world.wit:3"]),
    ]


@pytest.mark.parametrize(
    ("manifest", "line"),
    [(b"\xff", 1), (b"[component]\nname = \xff", 2), (b"[component", 1), (b"a = " + b"[" * 100_000, 0), (b"#" * 2**21, 0)],
)
def test_bytes_that_are_no_manifest_are_one_finding(found, manifest, line):
    assert told(found(project(manifest)))[0] == ("error", "manifest-parse", [f"Torvyn.toml:{line}"])


def test_a_manifest_that_is_a_directory_cannot_be_read(found):
    (one,) = found({"Torvyn.toml/x": b"", **project(None)})
    assert one.kind == "manifest-parse"


@pytest.mark.parametrize(
    "lines",
    [
        "capabilities = 1",
        "[capabilities]\nrequired = 1",
        "[capabilities]\nwasi-random = true",
        "[capabilities]\ntorvyn = 1",
        "[capabilities.torvyn]\nmax-memory = 16",
        "[capabilities.torvyn]\nbuffer-pool-access = 1",
        "[capabilities.required]\nwasi-rnadom = true",
    ],
)
def test_capabilities_that_mean_nothing_are_errors(found, lines):
    top = "capabilities = 1\n" if lines == "capabilities = 1" else ""
    manifest = f"{top}{MANIFEST}{'' if top else lines}"
    assert [one.kind for one in found(project(manifest))] == ["capability-error"]


def test_names_that_lead_nowhere_are_told_apart_from_syntax(found):
    (one,) = found(project(MANIFEST, world("import torvyn:streaming/tyepes@0.1.0")))
    assert (one.kind, one.code, one.locations[0].file) == ("wit-unresolved-reference", "E0101", "wit/world.wit")


def test_an_interface_that_wasi_does_not_have_is_told(found):
    files = project(MANIFEST, world("import wasi:random/dice@0.2.3"))
    files["wit/deps/random/package.wit"] += b"interface dice { roll: func() -> u8; }\n"
    assert [one.kind for one in found(files)] == ["unknown-import"]


def test_order_is_by_place_and_what_has_none_comes_last():
    made = [
        Diagnostic(str(number), "E0100", "", locations=places)
        for number, places in enumerate([(), (Location("b", 1),), (Location("a", 9),)])
    ]
    assert [one.kind for one in in_order(made)] == ["2", "1", "0"]
    assert is_ok(())


def test_the_judges_text_of_the_contract_is_the_contract(pytestconfig):
    root = pytestconfig.rootpath / "wit" / "torvyn-streaming"
    (real, *_) = wit.load(root)
    said = wit.parse(streaming("source", "processor", "sink", "buffer-allocator"))
    assert compare(real, said).verdict is Verdict.BREAKING  # it leaves out lifecycle and the worlds, and nothing else
    assert {one.path for one in compare(real, said).differences} == {
        ("lifecycle",),
        *((world,) for world in ("transform", "managed-transform", "data-source", "data-sink")),
    }


def test_a_composition_is_judged_whole():
    def part(name, role, **more):
        own = wit.parse(f"package acme:{name}; interface {role} {{ f: func(); }} world w {{ export {role}; }}")
        return Part(name, (own,), **more)

    parts = [part("a", "source"), part("b", "sink", requires=("clock:wall",)), part("c", "filter")]
    kinds = [one.kind for one in compose(parts, [("a", "b"), ("b", "a"), ("a", "x")])]
    assert kinds == [
        "invalid-topology",
        "source-has-incoming",
        "sink-has-outgoing",
        "disconnected",
        "invalid-topology",
        "unmet-capability",
    ]
    assert compose(parts[:2], [("a", "b")])[0].about == ("b", "clock:wall")


def test_the_command_holds_a_components_wit_against_its_manifest(ref, tmp_path):
    manifest = f'{MANIFEST}path = "greeter.wasm"\n'
    for name, content in project(manifest, world("import wasi:random/random@0.2.3"), package="acme:greeter@0.3.0").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    ran = ref("check", tmp_path, "--format", "json")
    assert ran.code == 1
    assert [error["kind"] for error in ran.json["errors"]] == ["capability-mismatch"]
    assert ran.json["errors"][0]["where"] == f"{tmp_path / 'wit' / 'world.wit'}:3:1"
    declared = manifest + "[capabilities.required]\nwasi-random = true\n"
    (tmp_path / "Torvyn.toml").write_text(declared)
    ran = ref("check", tmp_path, "--format", "json")
    assert (ran.code, [warning for warning in ran.json["warnings"] if "E0122" in warning]) == (
        0,
        [
            f"[E0122] {tmp_path / 'wit' / 'world.wit'}:3:1: the package is acme:greeter@0.3.0, and the manifest says version 0.1.0",
        ],
    )
