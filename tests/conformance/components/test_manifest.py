"""What a command line means by its target, and what it is told when it means nothing."""

import shutil

import pytest

from conformance.components.manifest import find_targets
from conformance.errors import SuiteError
from tests.conformance.components.conftest import CORPUS


@pytest.fixture
def project(tmp_path):
    """Write a manifest beside a component."""
    shutil.copy(CORPUS / "components/uppercase.wasm", tmp_path / "it.wasm")

    def write(text):
        (tmp_path / "Torvyn.toml").write_text(text)
        return str(tmp_path)

    return write


def test_a_file_is_one_component_as_its_user_describes_it():
    path = str(CORPUS / "components/parity-router.wasm")
    (target,) = find_targets(path, config="even=a", grants=["clock:wall"], ports=["a"])
    assert (target.config, target.declared, target.granted, target.ports) == ("even=a", ("clock:wall",), ("clock:wall",), ("a",))
    assert target.arguments == ("--config", "even=a", "--grant", "clock:wall", "--port", "a")
    (plain,) = find_targets(path)
    assert (plain.config, plain.declared, plain.ports) == (None, None, None)


def test_a_flow_gives_its_nodes_with_config_grants_and_ports():
    targets = {target.name: target for target in find_targets(str(CORPUS / "flows/router"))}
    assert targets["Torvyn.toml: flow.main.nodes.parity"].ports == ("even", "odd")
    assert targets["Torvyn.toml: flow.main.nodes.numbers"].config == "count=21"
    assert targets["Torvyn.toml: flow.main.nodes.evens, Torvyn.toml: flow.main.nodes.odds"].role == "sink"
    lines = {target.name: target for target in find_targets(str(CORPUS / "flows/wasi-stdout"))}
    assert lines["Torvyn.toml: flow.main.nodes.lines"].granted == ("stdio:stdout",)
    (one,) = find_targets(str(CORPUS / "flows/wasi-stdout/Torvyn.toml"), node="main.lines")
    assert one.declared == ("stdio:stdout",)


def test_a_component_that_no_node_uses_is_validated_by_itself(project):
    (target,) = find_targets(project('[[component]]\nname = "it"\npath = "it.wasm"\nconfig = "a=b"\n'))
    assert (target.name, target.config, target.role) == ("Torvyn.toml: component.it", "a=b", "")


def test_a_packaged_component_is_the_file_beside_its_manifest(project, tmp_path):
    shutil.copy(tmp_path / "it.wasm", tmp_path / "component.wasm")
    text = '[component]\nname = "it"\nversion = "1.0.0"\n[capabilities.required]\n"clock:wall" = true\n"clock:monotonic" = false\n'
    (target,) = find_targets(project(text + '[capabilities.optional]\n"random:crypto" = true\n'))
    assert target.declared == ("clock:wall", "?random:crypto")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "is no TOML"),
        ("", "has no component to validate"),
        ("component = 3", "expected a table or an array"),
        ("[[component]]\npath = 'it.wasm'", "a table with a name was expected"),
        ("[[component]]\nname = 'it'\npath = 'gone.wasm'", "gone.wasm does not exist"),
        ("[[component]]\nname = 'it'\nreference = 'oci://x/y:1'", "is a reference; fetch it first"),
        ("[[component]]\nname = 'it'\npath = 7", "expected the component's file, found 7"),
        ("flow = 1", "expected a table, found int"),
        ("[flow.main.nodes.n]\ninterface = 'torvyn:streaming/sink'", "a name, a path or a reference was expected"),
        ("[flow.main.nodes.n]\ncomponent = 'it.wasm'\ninterface = 'torvyn:streaming/zink'", "gives no component a role"),
    ],
)
def test_a_project_with_a_mistake_is_told_where(project, text, said):
    with pytest.raises(SuiteError, match=said):
        find_targets(project(text))


def test_every_mistake_of_a_project_is_told_at_once(project):
    with pytest.raises(SuiteError) as caught:
        find_targets(project("[[component]]\nname = 'a'\npath = 'x'\n[[component]]\nname = 'b'\npath = 'y'"))
    assert len(caught.value.problems) == 2


def test_wrong_targets_and_options_are_told(tmp_path, project):
    (tmp_path / "empty").mkdir()
    for path, options, said in (
        ("/nowhere.wasm", {}, "does not exist"),
        ("/dev/null", {}, "no regular file"),
        (str(tmp_path / "empty"), {}, "is no project"),
        (project("[[component]]\nname = 'it'\npath = 'it.wasm'"), {"config": "x"}, "are for a single component"),
        (str(tmp_path), {"node": "gone"}, "has no node 'gone' to validate"),
        (str(tmp_path / "it.wasm"), {"node": "x"}, "--node chooses among the nodes of a project"),
    ):
        with pytest.raises(SuiteError, match=said):
            find_targets(path, **options)


@pytest.mark.parametrize(
    ("files", "hint"),
    [((), "name a .wasm file or a project"), (("b.wasm", "a.wasm", "c.txt"), "name a component in it: {0}/a.wasm, {0}/b.wasm")],
)
def test_a_directory_that_is_no_project_says_what_could_be_validated(tmp_path, files, hint):
    for name in files:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(SuiteError) as caught:
        find_targets(str(tmp_path))
    assert str(caught.value) == f"{tmp_path} is no project: there is no Torvyn.toml in it; {hint.format(tmp_path)}"
