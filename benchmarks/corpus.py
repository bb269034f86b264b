"""Components of the corpus, and flows of them as projects on disk."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPONENTS = ROOT / "corpus" / "components"

UNLIMITED_FUEL = 1 << 40
"""What one call may burn: metered as always, and never the reason why a benchmark ends."""

Stages = Sequence[tuple[str, str, str, str]]
"""Name, interface, component and configuration of each stage."""


def wasm(name: str) -> bytes:
    """Return a component's bytes."""
    return (COMPONENTS / f"{name}.wasm").read_bytes()


def linear(processors: int, count: int, size: int) -> Stages:
    """Return the stages of source → processors → sink."""
    middle = [(f"upper-{n}", "torvyn:streaming/processor", "uppercase", "") for n in range(processors)]
    return [
        ("numbers", "torvyn:streaming/source", "counter-source", f"count={count},size={size}"),
        *middle,
        ("end", "torvyn:streaming/sink", "sink-ready", ""),
    ]


def project(stages: Stages) -> str:
    """Return the Torvyn.toml of a line of stages."""
    lines = ['[torvyn]\nname = "benchmark"\nversion = "0.1.0"\ncontract_version = "0.1.0"']
    lines.append(f"[runtime]\ndefault_fuel_per_invocation = {UNLIMITED_FUEL}")
    for name, interface, component, config in stages:
        node = f'[flow.main.nodes.{name}]\ncomponent = "{COMPONENTS / component}.wasm"\ninterface = "{interface}"'
        lines.append(f'{node}\nconfig = "{config}"' if config else node)
    lines += [f'[[flow.main.edges]]\nfrom = "{one[0]}:default"\nto = "{other[0]}:default"' for one, other in pairwise(stages)]
    return "\n\n".join(lines) + "\n"
