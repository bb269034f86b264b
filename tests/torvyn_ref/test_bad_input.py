"""What is wrong with a flow is said in one clear error each, with file and field, and leaves nothing behind.

Every case goes twice: through the command line (words, exit code, no file), and through the host (no instance, no buffer, no call).
"""

import pytest

from torvyn_ref import config
from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging import assemble, digest_of, push_to_layout
from torvyn_ref.packaging.artifact import WASM_TYPE
from torvyn_ref.planning import each

NUMBERS = ("numbers", "source", "counter-source")
CAPITALS = ("capitals", "processor", "uppercase")
END = ("end", "sink", "sink-ready")


def unknown_node(project):
    return project.write(NUMBERS, CAPITALS, END, edges=[("numbers", "capitals"), ("captals", "end")])


def cycle(project):
    again = ("again", "processor", "clone-freeze")
    edges = [("numbers", "capitals"), ("capitals", "again"), ("again", "capitals"), ("again", "end")]
    return project.write(NUMBERS, CAPITALS, again, END, edges=edges)


def missing_component(project):
    return project.write(NUMBERS, ("capitals", "processor", "gone.wasm"), END)


def wrong_world(project):
    return project.write(NUMBERS, ("capitals", "processor", "number-filter"), END)


def truncated(project):
    whole = (project.components / "uppercase.wasm").read_bytes()
    (project.root / "cut.wasm").write_bytes(whole[: len(whole) // 2])
    return project.write(NUMBERS, ("capitals", "processor", "cut.wasm"), END)


def unknown_key(project):
    return project.write(NUMBERS, (*CAPITALS, "fuel_budjet = 5"), END)


def ungranted(project):
    declared = f'[[component]]\nname = "printer"\npath = "{project.components}/stdout-sink.wasm"\ncapabilities = ["stdio:stdout"]'
    return project.write(NUMBERS, CAPITALS, ("end", "sink", "printer"), more=declared)


def undeclared(project):
    return project.write(NUMBERS, CAPITALS, ("end", "sink", "stdout-sink"))


def image(project, name):
    wasm = (project.components / f"{name}.wasm").read_bytes()
    artifact = assemble([(wasm, WASM_TYPE, f"{name}.wasm")], config={})
    push_to_layout(project.root / "layout", artifact, name)
    blob = digest_of(wasm).removeprefix("sha256:")
    return project.root / "layout/blobs/sha256" / blob


def tampered(project):
    blob = image(project, "uppercase")
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    return project.write(NUMBERS, ("capitals", "processor", "oci-layout:layout:uppercase"), END)


def shortened(project):
    blob = image(project, "uppercase")
    blob.write_bytes(blob.read_bytes()[:-1])
    return project.write(NUMBERS, ("capitals", "processor", "oci-layout:layout:uppercase"), END)


# name: how to write it, exit code, category, kind, the field named, words of the error
CASES = {
    "unknown node": (unknown_node, 2, "config", "unknown-node", "flow.main.edges[1].from", "did you mean 'capitals'?"),
    "cycle": (cycle, 1, "link", "cycle", "flow.main", "capitals -> again -> capitals"),
    "missing component": (missing_component, 1, "packaging", "not-found", "flow.main.nodes.capitals.component", "gone.wasm"),
    "wrong world": (wrong_world, 1, "contract", "interface-mismatch", "flow.main.nodes.capitals", "exports torvyn:filtering/filter"),
    "truncated wasm": (truncated, 1, "runtime", "invalid-component", "flow.main.nodes.capitals.component", "cut.wasm"),
    "unknown key": (unknown_key, 2, "config", "unknown-key", "flow.main.nodes.capitals.fuel_budjet", "did you mean 'fuel_budget'?"),
    "ungranted capability": (ungranted, 1, "security", "missing-required", "flow.main.nodes.end", "[security.grants.end]"),
    "undeclared import": (undeclared, 1, "security", "capability-mismatch", "flow.main.nodes.end", "wasi:cli/stdout"),
    "tampered blob": (tampered, 1, "packaging", "digest-mismatch", "flow.main.nodes.capitals.component", "oci-layout:"),
    "shortened blob": (shortened, 1, "packaging", "size-mismatch", "flow.main.nodes.capitals.component", "oci-layout:"),
}


@pytest.fixture(params=CASES)
def case(request, project, components):
    project.components = components
    make, *expected = CASES[request.param]
    return (project, make(project), *expected)


@pytest.mark.parametrize("command", ["run", "check"])
def test_bad_input_is_one_clear_error_and_leaves_no_file(ref, case, command):
    project, file, code, _, _, field, words = case
    before = project.listing()
    options = ["--audit", "-"] + (["--output", project.root / "out"] if command == "run" else [])
    ran = ref(command, file, *options)
    assert (ran.code, ran.out) == (code, b"")
    (error,) = ran.errors
    assert str(file) in error
    assert field in error
    assert words in error
    assert project.listing() == before


def test_bad_input_as_json_has_its_category_and_kind(ref, case):
    _, file, code, category, kind, field, _ = case
    ran = ref("run", file, "--format", "json", "--audit", "-")
    found = ran.json
    assert (ran.code, found["exit_code"], found["category"]) == (code, code, category)
    assert {error["kind"] for error in found["errors"]} == {kind}
    assert all(str(file) in error["where"] and field in error["where"] for error in found["errors"])


def test_bad_input_leaves_no_instance_buffer_or_task(host, engine, case):
    _, file, *_, kind, _field, _words = case
    if kind in {"unknown-node", "unknown-key"}:  # there is no host yet
        with pytest.raises(TorvynError) as caught:
            config.load(file, environment={})
        assert {error.kind for error in each(caught.value)} == {kind}
        return
    host = host(file)
    with pytest.raises(TorvynError) as caught:
        host.prepare()
    assert {error.kind for error in each(caught.value)} == {kind}
    assert (engine.counts["instantiated"], engine.counts["calls"], host.resources.live_count) == (0, 0, 0)


def test_defects_of_the_configuration_are_reported_together(ref, project):
    file = project.write(
        ("numbers", "source", "counter-source", "bogus = 1"),
        ("end", "sink", "no-such-component"),
        edges=[("numbers", "nowhere")],
        more='[runtime]\ndrain_timeout_ms = "soon"\n[security.grants.stranger]',
    )
    ran = ref("run", file)
    assert ran.code == 2
    assert len(ran.errors) == 5
    for words in ("bogus", "no-such-component", "'nowhere'", "runtime.drain_timeout_ms", "security.grants.stranger"):
        assert sum(words in error for error in ran.errors) == 1, words


def test_defects_of_all_rooms_are_reported_together(ref, project, components):
    project.components = components
    tampered(project)
    file = project.write(
        NUMBERS,
        ("a", "processor", "oci-layout:layout:uppercase"),
        ("b", "processor", "gone.wasm"),
        ("c", "processor", "wasi-random"),
        ("lonely", "filter", "uppercase"),
        END,
        edges=[("numbers", "a"), ("a", "b"), ("b", "c"), ("c", "end"), ("numbers", "lonely"), ("lonely", "end")],
    )
    ran = ref("run", file)
    assert ran.code == 1
    found = {next(node for node in ("nodes.a", "nodes.b", "nodes.c", "nodes.lonely") if node in error) for error in ran.errors}
    assert found == {"nodes.a", "nodes.b", "nodes.c", "nodes.lonely"}
    assert len(ran.errors) == 4


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "missing-key"),
        (b"[flow", "syntax"),
        (b"\xff\xfe", "syntax"),
        (b"#" * (1024 * 1024 + 1), "too-large"),
        (b"a = " + b"[" * 100_000, "syntax"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(ref, project, content, kind):
    project.file.write_bytes(content)
    ran = ref("check", project.file, "--format", "json")
    assert ran.code == 2
    assert ran.json["errors"][0]["kind"] == kind
    assert str(project.file) in ran.json["errors"][0]["where"]


@pytest.mark.parametrize("content", [b"", b"\0asm", b"\0asm\x01\0\0\0", b"(component)", b"\x7fELF", b"\0asm\x0d\0\x01\0" + b"\xff" * 99])
def test_a_file_that_is_no_component_is_refused(ref, project, content):
    (project.root / "odd.wasm").write_bytes(content)
    ran = ref("check", project.write(NUMBERS, ("capitals", "processor", "odd.wasm"), END))
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert f"{project.file}: flow.main.nodes.capitals.component" in ran.errors[0]


def test_what_a_guest_says_does_nothing_to_the_terminal(ref, project):
    """A failing component's message is data: its control characters are shown, its brackets mean nothing."""
    file = project.write(("numbers", "source", "counter-source", 'config = "[red]\\u001b[2J=1"'), END)
    ran = ref("run", file)
    assert ran.code == 1
    assert "\x1b" not in ran.err
