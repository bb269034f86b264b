"""What bytes and manifest say before anything runs."""

import pytest
import wasmtime

from conformance.components import wasi
from conformance.components.manifest import find_targets
from conformance.components.static import look
from conformance.rulebook import load
from tests.conformance.components.conftest import CORPUS

MANIFEST = """
[[component]]
name = "it"
path = "it.wasm"
{component}

[flow.main.nodes.it]
component = "it"
interface = "{interface}"

[security.grants.it]
capabilities = [{grants}]
"""


@pytest.fixture
def seen(tmp_path):
    """Look at a component of the corpus in a project of its own, or at changed text of one."""

    def go(name, *, component="", interface="torvyn:streaming/processor", grants="", change=None, bare=False):
        text = (CORPUS / f"components/{name}.wat").read_text()
        (tmp_path / "it.wasm").write_bytes(bytes(wasmtime.wat2wasm(change(text) if change else text)))
        (tmp_path / "Torvyn.toml").write_text(MANIFEST.format(component=component, interface=interface, grants=grants))
        (target,) = find_targets(str(tmp_path / "it.wasm" if bare else tmp_path))
        return look(target)

    return go


def findings(static):
    return {(suspicion.rule, suspicion.kind, str(suspicion.level)) for suspicion in static.suspicions}


def test_a_component_that_is_declared_and_granted_has_nothing_against_it(seen):
    static = seen("wasi-stdout", component='capabilities = ["stdio:stdout"]', grants='"stdio:stdout"')
    assert not static.suspicions
    assert static.granted == ("stdio:stdout",)
    assert (static.facts.role, static.facts.world) == ("processor", "torvyn:streaming/transform")


def test_without_a_manifest_it_gets_what_it_imports(seen):
    static = seen("wasi-random", bare=True)
    assert not static.suspicions
    assert static.granted == static.facts.needs == ("random:crypto",)


@pytest.mark.parametrize(
    ("component", "grants", "expected"),
    [
        ("", "", {("CON-027", "undeclared-capability", "error")}),
        ('capabilities = ["stdio:stdout"]', "", {("LINK-016", "capability-not-granted", "error")}),
        (
            'capabilities = ["stdio:stdout", "clock:wall"]',
            '"stdio:stdout"',
            {("CON-028", "unused-capability", "warning"), ("CAP-024", "required-not-granted", "error")},
        ),
        ('capabilities = ["stdio:stdout", "?clock:wall"]', '"stdio:stdout"', {("CON-028", "unused-capability", "warning")}),
        ('capabilities = ["stdio:stdout"]', '"stdio:stdout", "clock:wall"', {("CAP-027", "unused-grant", "warning")}),
        ('capabilities = ["wasi-stdout"]', '"stdio:stdout"', set()),
    ],
)
def test_imports_declarations_and_grants_are_compared(seen, component, grants, expected):
    assert findings(seen("wasi-stdout", component=component, grants=grants)) == expected


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("sink-ready", {}, {("CON-002", "wrong-role", "error")}),
        ("uppercase", {"change": lambda text: text.replace("streaming/types@0.1.0", "streaming/types@0.2.0")}, {"CON-013"}),
        ("uppercase", {"change": lambda text: text.replace("@0.1.0", "@0.1.12")}, set()),
        ("uppercase", {"change": lambda text: text.replace("(component\n", '(component\n(import "acme:x/y" (instance))', 1)}, {"LINK-017"}),
        (
            "uppercase",
            {"change": lambda text: text.replace("(component\n", '(component\n(import "torvyn:streaming/extra@0.1.0" (instance))', 1)},
            {"LINK-017"},
        ),
        (
            "uppercase",
            {"change": lambda text: text.replace("(component\n", '(component\n(import "wasi:cli/stdout@0.3.0" (instance))', 1)},
            {"CAP-041"},
        ),
        (
            "number-filter",
            {
                "interface": "torvyn:filtering/filter",
                "change": lambda text: text.replace(
                    "(component\n", '(component\n(import "torvyn:streaming/buffer-allocator@0.1.0" (instance))', 1
                ),
            },
            {("CAP-038", "allocator-beyond-world", "warning")},
        ),
    ],
)
def test_role_versions_and_imports_are_held_to_the_contract(seen, name, options, expected):
    found = findings(seen(name, **options))
    assert found == expected or {rule for rule, _, _ in found} == expected


def test_what_has_no_role_or_two_is_told_apart(tmp_path):
    sink, source = (f'(export "torvyn:streaming/{role}@0.1.0" (instance $i))' for role in ("sink", "source"))
    for text, kind in (("(component)", "no-role"), (f"(component (instance $i) {sink} {source})", "several-roles")):
        (tmp_path / "it.wasm").write_bytes(bytes(wasmtime.wat2wasm(text)))
        (target,) = find_targets(str(tmp_path / "it.wasm"))
        static = look(target)
        assert findings(static) == {("CON-002", kind, "error")}
        assert not static.runnable


def test_the_table_of_capabilities_is_the_rulebooks():
    text = " ".join(load().get("CAP-041").text.split())
    for interface, capabilities in wasi.CAPABILITIES.items():
        if not capabilities:
            assert "inert" in load().get("CAP-061").title
        elif interface in {"wasi:clocks/wall-clock", "wasi:clocks/monotonic-clock", "wasi:random/random", "wasi:cli/environment"}:
            assert f"{interface} {capabilities[0]}" in text
