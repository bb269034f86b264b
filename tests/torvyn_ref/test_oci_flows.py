"""Flows whose components come as OCI artifacts: from a layout directory, and from a registry; a tampered blob runs nothing."""

import importlib.util
from pathlib import Path

import pytest

from torvyn_ref import packaging
from torvyn_ref.clock import VirtualClock
from torvyn_ref.errors import TorvynError
from torvyn_ref.flow import FlowState
from torvyn_ref.flow.simulate import simulate
from torvyn_ref.host import Attachments
from torvyn_ref.packaging.artifact import WASM_TYPE

# The registries belong to the packaging tests: fixtures are found by name, wherever they were defined.
_spec = importlib.util.spec_from_file_location("packaging_fixtures", Path(__file__).parent / "packaging/conftest.py")
registries = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(registries)
fake, docker, registry, options = registries.fake, registries.docker, registries.registry, registries.options

LINES = [b"%08dABCDEFGH" % number for number in range(10)]


@pytest.fixture
def artifact(components):
    def of(name):
        wasm = (components / f"{name}.wasm").read_bytes()
        return packaging.assemble([(wasm, WASM_TYPE, f"{name}.wasm")], config={}), packaging.digest_of(wasm)

    return of


def write(project, reference):
    return project.write(("numbers", "source", "counter-source"), ("capitals", "processor", reference), ("end", "sink", "sink-ready"))


def test_a_flow_runs_from_an_image_layout(ref, project, artifact):
    made, digest = artifact("uppercase")
    packaging.push_to_layout(project.root / "layout", made, "1.0")
    ran = ref("run", write(project, "oci-layout:layout:1.0"), "--output", "-")
    assert (ran.code, ran.out.splitlines()) == (0, LINES)
    stages = ref("check", project.file, "--format", "json").json["data"]["flows"]["main"]
    assert stages[1]["digest"] == digest
    assert "layout" in stages[1]["component"]


def test_a_flow_runs_from_a_registry_and_then_without_it(ref, fake, project, artifact, monkeypatch):
    fake.bearer = "a-token"
    monkeypatch.setenv("TORVYN_REGISTRY_TOKEN", "a-token")
    reference = packaging.parse_oci(f"{fake.host}/torvyn/uppercase:1.0")
    options = packaging.RegistryOptions(insecure=True, credentials=packaging.Credentials(token="a-token"))
    packaging.push(reference, artifact("uppercase")[0], options)
    file = write(project, str(reference))
    ran = ref("run", file, "--insecure-registry", "--output", "-")
    assert (ran.code, ran.out.splitlines()) == (0, LINES)
    asked = len(fake.requests)
    ran = ref("run", file, "--offline", "--output", "-")
    assert (ran.code, ran.out.splitlines()) == (0, LINES)
    assert len(fake.requests) == asked


def test_a_registry_without_the_token_refuses(ref, fake, project, artifact):
    fake.bearer = "a-token"
    ran = ref("run", write(project, f"oci://{fake.host}/torvyn/uppercase:1.0"), "--insecure-registry")
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert "nodes.capitals.component" in ran.errors[0]


def test_a_flow_runs_from_either_registry(host, registry, options, project, artifact):
    reference = packaging.parse_oci(f"{registry.host}/flows/uppercase:1.0")
    packaging.push(reference, artifact("uppercase")[0], options, force=True)
    seen = []
    host = host(write(project, str(reference)), registry=options, clock=VirtualClock())
    prepared = host.prepare(attachments=Attachments(tap=seen.append))
    report = simulate(prepared.driver, prepared.instances, host.clock)
    prepared.close()
    assert (report.state, seen) == (FlowState.COMPLETED, LINES)


def test_a_blob_tampered_with_in_the_registry_runs_nothing(host, engine, registry, options, project, artifact, tmp_path):
    reference = packaging.parse_oci(f"{registry.host}/flows/annotate:1.0")
    made, digest = artifact("annotate")
    packaging.push(reference, made, options, force=True)
    changed = bytearray(made.blobs[digest])
    changed[-1] ^= 1
    registry.tamper(digest, bytes(changed))
    host = host(write(project, str(reference)), registry=options)
    with pytest.raises(TorvynError) as caught:
        host.prepare()
    assert (caught.value.kind, caught.value.fields["startup_stage"]) == ("digest-mismatch", "linking")
    assert engine.counts["instantiated"] == 0
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.read_bytes() == bytes(changed)]
    assert kept == []


def test_a_tampered_blob_is_refused_by_the_command_line(ref, fake, project, artifact, isolated, monkeypatch):
    fake.bearer = "a-token"
    monkeypatch.setenv("TORVYN_REGISTRY_TOKEN", "a-token")
    reference = packaging.parse_oci(f"{fake.host}/torvyn/uppercase:1.0")
    made, digest = artifact("uppercase")
    packaging.push(reference, made, packaging.RegistryOptions(insecure=True, credentials=packaging.Credentials(token="a-token")))
    fake.tamper(digest, b"\0asm" + bytes(len(made.blobs[digest]) - 4))
    ran = ref("run", write(project, str(reference)), "--insecure-registry", "--output", project.root / "out", "--audit", "-")
    (error,) = ran.errors
    assert ran.code == 1
    assert digest in error
    assert project.listing() == ["Torvyn.toml"]
