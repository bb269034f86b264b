import os

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from torvyn_ref import config
from torvyn_ref.config.load import MAX_ERRORS, MAX_FILE_BYTES
from torvyn_ref.errors import TorvynError, TorvynErrors

PROJECT = """
[torvyn]
name = "demo"
version = "0.1.0"
contract_version = "0.1.0"

[[component]]
name = "source"
path = "source.wasm"
config = "from the component"
capabilities = ["wasi:cli/stdout", "?wasi:clocks/wall-clock"]

[[component]]
name = "sink"
reference = "oci://registry.test/sink:1"

[runtime.scheduling]
default_priority = 3

[flow.main.nodes.up]
component = "source"
interface = "torvyn:streaming/source"
fuel_budget = "unlimited"

[flow.main.nodes.down]
component = "sink"
interface = "torvyn:streaming/sink"
config = "from the node"
max_memory = "1MiB"
priority = 9

[[flow.main.edges]]
from = "up:output"
to = "down:input"

[security.grants.source]
capabilities = ["wasi:cli/stdout"]

[security.grants.down]
capabilities = ["wasi:cli/stderr"]
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "Torvyn.toml").write_text(PROJECT)
    return tmp_path


def refusal(path, **options):
    with pytest.raises(TorvynError) as raised:
        config.load(path, **{"environment": {}, **options})
    return raised.value


def test_a_directory_and_its_manifest_load_alike(project):
    assert config.load(project, environment={}) == config.load(project / "Torvyn.toml", environment={})


def test_a_missing_file_is_one_error_that_names_it(tmp_path):
    error = refusal(tmp_path)
    assert (error.kind, error.code) == ("not-found", "E0700")
    assert str(tmp_path / "Torvyn.toml") in str(error)


def test_something_that_is_no_file_is_unreadable(tmp_path):
    os.mkfifo(tmp_path / "Torvyn.toml")
    assert refusal(tmp_path).kind == "unreadable"


def test_a_path_under_a_file_is_unreadable_or_missing_but_never_a_traceback(project):
    assert refusal(project / "Torvyn.toml" / "x").kind in {"unreadable", "not-found"}


def test_a_file_beyond_the_bound_is_refused_unparsed(tmp_path):
    (tmp_path / "Torvyn.toml").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    assert refusal(tmp_path).kind == "too-large"


def test_a_file_of_exactly_the_bound_is_read(project):
    padding = MAX_FILE_BYTES - len(PROJECT.encode())
    (project / "Torvyn.toml").write_text(PROJECT + "#" * padding)
    assert config.load(project, environment={}).name == "demo"


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xfe",
        b"\xef\xbb\xbfa = 1",
        b"a = " + b"[" * 100_000,
        b".".join([b"a"] * 50_000) + b" = 1",
        b"a = " + b"9" * 100_000,
        b"a = 1\na = 2",
    ],
    ids=["not UTF-8", "byte order mark", "deep nesting", "endless key", "endless number", "key written twice"],
)
def test_what_is_no_toml_is_one_syntax_error(tmp_path, raw):
    (tmp_path / "Torvyn.toml").write_bytes(raw)
    error = refusal(tmp_path)
    assert (error.kind, error.code, isinstance(error, TorvynErrors)) == ("syntax", "E0701", False)


def test_syntax_errors_of_both_files_are_reported_together(project):
    (project / "Torvyn.toml").write_text("a = ")
    (project / "pipeline.toml").write_text("b = ")
    assert [error.kind for error in refusal(project).errors] == ["syntax", "syntax"]


def test_deeply_nested_tables_are_refused_without_recursion(project):
    (project / "Torvyn.toml").write_text(PROJECT + "[" + ".".join(["flow"] + ["a"] * 900) + "]\n")
    assert "nested deeper" in str(refusal(project))


def test_a_thousand_mistakes_are_cut_to_a_readable_number(project):
    (project / "Torvyn.toml").write_text(PROJECT + "".join(f"[unknown{n}]\n" for n in range(1000)))
    errors = refusal(project).errors
    assert len(errors) == MAX_ERRORS + 1
    assert errors[-1].message == "and 900 more errors"


def test_an_unknown_key_suggests_its_neighbour(project):
    (project / "Torvyn.toml").write_text(PROJECT + "[runtime.backpressure]\ndefault_queue_dept = 3\n")
    error = refusal(project)
    assert error.hint == "did you mean 'default_queue_depth'?"
    assert error.where == f"{project / 'Torvyn.toml'}: runtime.backpressure.default_queue_dept"


@pytest.mark.parametrize(
    ("section", "hint"),
    [("[flow.main]\npriority = 'hihg'", "'high'"), ("[security]\ndefault_capability_policy = 'deny_all'", "'deny-all'")],
)
def test_an_unknown_word_suggests_its_neighbour(project, section, hint):
    (project / "Torvyn.toml").write_text(PROJECT + section)
    assert hint in refusal(project).hint


def test_a_key_far_from_every_other_gets_no_suggestion(project):
    (project / "Torvyn.toml").write_text(PROJECT + "[runtime]\nqwertyuiop = 3\n")
    assert "did you mean" not in refusal(project).hint


def test_tables_that_belong_to_the_project_are_refused_in_the_users_file(project):
    user = project / "home/.config/torvyn/config.toml"
    user.parent.mkdir(parents=True)
    user.write_text("[torvyn]\nname = 'x'\n[security.grants.up]\ncapabilities = []\n")
    errors = refusal(project, environment={"HOME": str(project / "home")}).errors
    assert [(error.kind, error.fields["field"]) for error in errors] == [("unknown-key", "torvyn"), ("unknown-key", "security.grants")]


def test_xdg_names_the_users_directory(project):
    (project / "xdg/torvyn").mkdir(parents=True)
    (project / "xdg/torvyn/config.toml").write_text("[runtime]\nworker_threads = 7\n")
    loaded = config.load(project, environment={"XDG_CONFIG_HOME": str(project / "xdg"), "HOME": "/nowhere"})
    assert loaded.runtime.worker_threads == 7
    assert loaded.files == (project / "xdg/torvyn/config.toml", project / "Torvyn.toml")


def test_a_variable_that_sets_nothing_is_a_warning_with_a_suggestion(project):
    loaded = config.load(project, environment={"TORVYN_RUNTIME_WORKER_THREAD": "1", "TORVYN_HOME": "/x", "OTHER": "1"})
    unknown = [warning for warning in loaded.warnings if "has no effect" not in warning]
    assert unknown == ["TORVYN_RUNTIME_WORKER_THREAD sets no configuration key; did you mean TORVYN_RUNTIME_WORKER_THREADS?"]


def test_no_reserved_variable_is_a_setting():
    assert not set(config.known_variables()) & {"TORVYN_LOG", "TORVYN_HOME", "TORVYN_STATE_DIR"}


def test_no_variable_means_two_settings():
    from torvyn_ref.config import shape
    from torvyn_ref.config.environment import variable_of
    from torvyn_ref.config.schema import Manifest

    meanings: dict[str, set] = {}
    for written, meant in shape.leaves(Manifest):
        meanings.setdefault(variable_of(written), set()).add(meant)
    assert all(len(found) == 1 for found in meanings.values())
    assert len(meanings) > 60


def test_an_override_reaches_into_a_flow(project):
    loaded = config.load(project, environment={}, overrides={"flow.main.default_queue_depth": "5", "runtime.worker_threads": 2})
    flow = loaded.flow("main")
    assert loaded.stream_settings(flow, flow.edges[0]).queue_depth == 5
    assert loaded.runtime.worker_threads == 2


def test_an_override_that_is_no_path_is_refused(project):
    assert refusal(project, overrides={"runtime..x": "1"}).kind == "invalid-value"


def test_an_override_error_names_the_override(project):
    assert refusal(project, overrides={"runtime.worker_threads": "x"}).where == "override: runtime.worker_threads"


def test_a_node_gets_its_own_settings_then_its_components_then_the_runtimes(project):
    loaded = config.load(project, environment={})
    flow = loaded.flow()
    up, down = loaded.node_settings(flow, "up"), loaded.node_settings(flow, "down")
    assert (up.config, up.fuel, up.max_memory, up.priority) == ("from the component", None, 16 * 1024**2, 3)
    assert (down.config, down.fuel, down.max_memory, down.priority) == ("from the node", 1_000_000, 1024**2, 9)


def test_grants_are_found_by_node_name_and_else_by_component_name(project):
    loaded = config.load(project, environment={})
    flow = loaded.flow()
    up, down = loaded.node_settings(flow, "up"), loaded.node_settings(flow, "down")
    assert (up.grant_key, up.granted, up.declared) == ("source", ("wasi:cli/stdout",), ("wasi:cli/stdout", "?wasi:clocks/wall-clock"))
    assert (down.grant_key, down.granted, down.declared) == ("down", ("wasi:cli/stderr",), ())


def test_a_grant_for_the_node_wins_over_one_for_its_component(project):
    (project / "Torvyn.toml").write_text(PROJECT + "[security.grants.sink]\ncapabilities = ['wasi:cli/stdout']\n")
    loaded = config.load(project, environment={})
    assert loaded.node_settings(loaded.flow(), "down").granted == ("wasi:cli/stderr",)


def test_a_manifests_capabilities_serve_components_that_declare_none(project):
    tables = "[capabilities.required]\n'a:b' = true\n'c:d' = false\n[capabilities.optional]\n'e:f' = true\n"
    (project / "Torvyn.toml").write_text(PROJECT + tables)
    loaded = config.load(project, environment={})
    assert loaded.declared(loaded.components["sink"]) == ("a:b", "?e:f")
    assert loaded.declared(loaded.components["source"]) == ("wasi:cli/stdout", "?wasi:clocks/wall-clock")


def test_a_component_is_somewhere_and_only_there(project):
    (project / "Torvyn.toml").write_text(PROJECT + "[[component]]\nname = 'a'\n[[component]]\nname = 'b'\npath = 'x'\nreference = 'y'\n")
    errors = refusal(project).errors
    assert [(error.kind, error.fields["field"]) for error in errors] == [
        ("missing-key", "component[2].path"),
        ("invalid-value", "component[3].reference"),
    ]


def test_an_unknown_flow_is_refused_with_a_suggestion(project):
    loaded = config.load(project, environment={})
    with pytest.raises(TorvynError, match="no flow is named 'mian'") as raised:
        loaded.flow("mian")
    assert (raised.value.kind, raised.value.hint) == ("unknown-flow", "did you mean 'main'?")


def test_a_project_without_flows_has_no_default_flow(project):
    (project / "Torvyn.toml").write_text(PROJECT.split("[flow.main", maxsplit=1)[0])
    loaded = config.load(project, environment={})
    assert loaded.default_flow is None
    with pytest.raises(TorvynError) as raised:
        loaded.flow()
    assert raised.value.kind == "no-flow"


def test_scripted_projects_may_name_components_that_code_registers(project):
    text = PROJECT.replace('component = "sink"', 'component = "made-in-code"') + "[runtime]\nengine = 'scripted'\n"
    (project / "Torvyn.toml").write_text(text)
    assert config.load(project, environment={}).flow().nodes["down"].component == "made-in-code"


def test_values_are_read_only(project):
    loaded = config.load(project, environment={})
    with pytest.raises(ValidationError):
        loaded.runtime.worker_threads = 3
    with pytest.raises(TypeError):
        loaded.flows["other"] = loaded.flow()
    with pytest.raises(TypeError):
        loaded.components["other"] = loaded.components["sink"]


def test_the_process_environment_is_used_when_none_is_given(project, monkeypatch):
    monkeypatch.setenv("TORVYN_RUNTIME_WORKER_THREADS", "3")
    monkeypatch.setenv("HOME", str(project))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert config.load(project).runtime.worker_threads == 3


def test_the_json_schema_accepts_what_load_accepts_and_documents_every_field(project):
    import tomli

    schema = config.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    alias = "[runtime]\nfuel_per_invocation = 'unlimited'\n[runtime.pools]\nsmall_pool_size = 3\n"
    assert validator.is_valid(tomli.loads(PROJECT.replace("[runtime.scheduling]", alias + "[runtime.scheduling]")))
    assert not validator.is_valid(tomli.loads(PROJECT + "[runtime]\nfuel = 3\n"))
    assert not validator.is_valid(tomli.loads(PROJECT + "[runtime]\nelements_per_yield = 257\n"))
    undocumented = [
        f"{name}.{key}"
        for name, definition in schema["$defs"].items()
        for key, field in definition.get("properties", {}).items()
        if "description" not in field and "$ref" not in field and "default" not in field
    ]
    assert undocumented == []


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["a:b", "${X}", "16MiB", "block"])
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                sorted(
                    {
                        "nodes",
                        "edges",
                        "a",
                        "b",
                        "from",
                        "to",
                        "node",
                        "port",
                        "component",
                        "name",
                        "path",
                        "backpressure",
                        "policy",
                        "grants",
                    }
                )
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
tables = st.sampled_from(
    ["torvyn", "component", "flow", "flow.main", "flow.main.edges", "runtime", "security", "security.grants", "build", "x"]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(tables, trees, max_size=3), st.dictionaries(st.sampled_from(sorted(config.known_variables())), st.text(max_size=6)))
def test_whatever_is_written_gives_a_project_or_typed_errors(project, overrides, environment):
    try:
        loaded = config.load(project, environment=environment, overrides=overrides)
    except TorvynError as error:
        found = error.errors if isinstance(error, TorvynErrors) else (error,)
        assert {one.subsystem for one in found} == {"config"}
        assert all(one.message and one.where for one in found)
    else:
        for flow in loaded.flows.values():
            assert len(flow.nodes) >= 2
            assert all(loaded.stream_settings(flow, edge).queue_depth >= 1 for edge in flow.edges)
            assert all(0 <= loaded.stream_settings(flow, edge).low_watermark_ratio < 1 for edge in flow.edges)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_bytes_a_file_holds_only_typed_errors_come_out(tmp_path, raw):
    (tmp_path / "Torvyn.toml").write_bytes(raw)
    assert refusal(tmp_path).subsystem == "config"
