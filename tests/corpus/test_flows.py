"""Every flow of the corpus loads, names components that exist, and gives each a configuration it accepts."""

from pathlib import Path

import pytest
import tomli

from torvyn_ref.config import load

ROOT = Path(__file__).resolve().parents[2]
FLOWS = sorted(path.parent for path in (ROOT / "corpus/flows").glob("*/Torvyn.toml"))
CATALOGUE = {entry["name"]: entry for entry in tomli.loads((ROOT / "corpus/components/catalogue.toml").read_text())["component"]}
EVERY_FLOW = pytest.mark.parametrize("flow", FLOWS, ids=[flow.name for flow in FLOWS])


def manifest(flow):
    return tomli.loads((flow / "Torvyn.toml").read_text())


def test_the_corpus_covers_every_role_and_lists_every_flow():
    readme = (ROOT / "corpus/flows/README.md").read_text()
    assert [flow.name for flow in FLOWS if f"`{flow.name}`" not in readme] == []
    used = {entry["name"] for flow in FLOWS for entry in manifest(flow)["component"]}
    assert {CATALOGUE[name]["role"] for name in used} == {"source", "processor", "sink", "filter", "router", "aggregator"}


@EVERY_FLOW
def test_a_flow_loads(flow):
    project = load(flow, environment={})
    assert list(project.manifest.flow) == ["main"]


@EVERY_FLOW
def test_a_flow_says_what_to_expect(flow):
    readme = (flow / "README.md").read_text()
    assert readme.startswith(f"# {flow.name}\n")
    assert "\nExpect: " in readme
    assert [node for node in manifest(flow)["flow"]["main"]["nodes"] if f"`{node}`" not in readme] == []


@EVERY_FLOW
def test_a_flows_components_exist_and_declare_what_the_catalogue_says(flow):
    for entry in manifest(flow)["component"]:
        assert (flow / entry["path"]).resolve() == ROOT / "corpus/components" / f"{entry['name']}.wasm"
        assert (flow / entry["path"]).is_file()
        assert entry.get("capabilities", []) == CATALOGUE[entry["name"]].get("capabilities", [])


@EVERY_FLOW
def test_a_flows_nodes_play_roles_their_components_export(flow):
    for node in manifest(flow)["flow"]["main"]["nodes"].values():
        assert f"{node['interface']}@0.1.0" in CATALOGUE[node["component"]]["exports"]


@EVERY_FLOW
def test_a_flows_grants_are_exactly_what_its_nodes_need(flow):
    loaded = manifest(flow)
    nodes = loaded["flow"]["main"]["nodes"]
    needed = {name: CATALOGUE[node["component"]].get("capabilities", []) for name, node in nodes.items()}
    granted = {name: grant["capabilities"] for name, grant in loaded.get("security", {}).get("grants", {}).items()}
    assert granted == {name: capabilities for name, capabilities in needed.items() if capabilities}


@EVERY_FLOW
def test_a_flows_configurations_are_accepted(drive, flow):
    for node in manifest(flow)["flow"]["main"]["nodes"].values():
        if "torvyn:streaming/lifecycle@0.1.0" in CATALOGUE[node["component"]]["exports"]:
            assert drive(node["component"]).init(node.get("config", "")) is None
        else:
            assert "config" not in node


@EVERY_FLOW
def test_a_routers_edges_leave_through_ports_it_names(drive, flow):
    main = manifest(flow)["flow"]["main"]
    for name, node in main["nodes"].items():
        ports = {edge["from"]["port"] for edge in main["edges"] if edge["from"]["node"] == name}
        if CATALOGUE[node["component"]]["role"] != "router":
            assert ports <= {"default"}
            continue
        host = drive(node["component"])
        host.init(node.get("config", ""))
        assert {port for number in range(20) for port in host.route(b"%d" % number)} == ports
