"""What the checks of the configuration share: a project that is valid, and what a subject makes of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.areas.workshop import workshop
from conformance.errors import Inconclusive, Refused
from conformance.models.settings import Layer, text, toml, variable
from conformance.subjects import protocol as p
from conformance.subjects.session import Session

HEAD = 'torvyn = { name = "judged", version = "0.1.0", contract_version = "0.1.0" }\n'
SOURCE, SINK = "torvyn:streaming/source", "torvyn:streaming/sink"


def node(flow: str, name: str, more: str = "", *, component: str = "x.wasm") -> str:
    """Return a node of a flow as TOML."""
    return f'[flow.{flow}.nodes.{name}]\ncomponent = "{component}"\ninterface = "{SOURCE if name == "a" else SINK}"\n{more}\n'


def edge(flow: str, source: str = "a", target: str = "b", more: str = "") -> str:
    """Return an edge of a flow as TOML."""
    ends = f'from = {{ node = "{source}", port = "default" }}\nto = {{ node = "{target}", port = "default" }}\n'
    return f"[[flow.{flow}.edges]]\n{ends}{more}\n"


def flow(name: str = "main", head: str = "", *, a: str = "", b: str = "", edges: str | None = None, component: str = "x.wasm") -> str:
    """Return a flow from `a` to `b` as TOML, with further lines for the flow and for each of its nodes."""
    table = f"[flow.{name}]\n{head}\n" if head else ""
    return table + node(name, "a", a, component=component) + node(name, "b", b) + (edge(name) if edges is None else edges)


@dataclass(frozen=True, slots=True)
class Written:
    """A project as its user has it: the text of each file that there is, and what environment and command line say."""

    manifest: str = HEAD
    pipeline: str | None = None
    user: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    command_line: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def layered(cls, layers: Mapping[Layer, Mapping[str, Any]]) -> Written:
        """Return a project whose layers say certain things."""
        pipeline = toml(layers["pipeline"]) + flow("main") if layers.get("pipeline") else None
        return cls(
            manifest=toml(layers.get("manifest", {})) + HEAD + flow("main"),
            pipeline=pipeline,
            user=toml(layers["user"]) if layers.get("user") else None,
            environment={variable(key): text(value) for key, value in layers.get("environment", {}).items()},
            command_line={key: text(value) for key, value in layers.get("command-line", {}).items()},
        )


def load(session: Session, written: Written, *want: str) -> p.ConfigurationReply:
    """Write a project and load it.

    Raises:
        Refused: it is not valid.
    """
    with workshop() as place:
        files = {"Torvyn.toml": written.manifest} | ({} if written.pipeline is None else {"pipeline.toml": written.pipeline})
        project = place.project({name: content.encode() for name, content in files.items()})
        home = place.folder("home")
        if written.user is not None:
            path = home / ".config" / "torvyn" / "config.toml"
            path.parent.mkdir(parents=True)
            path.write_text(written.user)
        return session.config.load(project, home, environment=written.environment, command_line=written.command_line, want=tuple(want))


def mistakes(session: Session, written: Written) -> tuple[Mapping[str, str], ...] | None:
    """Load a project, and return what is wrong with it; None when it is accepted."""
    try:
        load(session, written)
    except Refused as refused:
        return errors_of(refused)
    return None


def errors_of(refused: Refused) -> tuple[Mapping[str, str], ...]:
    """Return the mistakes that a refusal lists; what is no object is none."""
    found = refused.fields.get("errors")
    listed = found if isinstance(found, (list, tuple)) else ()
    return tuple({str(key): str(value) for key, value in one.items()} for one in listed if isinstance(one, Mapping))


def must_load(session: Session, written: Written) -> None:
    """Make sure that a good project loads, or nothing can be said.

    Raises:
        Inconclusive: it does not.
    """
    found = mistakes(session, written)
    if found is not None:
        raise Inconclusive(f"a good project is refused: {found}")


def shown(written: Written) -> dict[str, Any]:
    """Return a project for an accusation's evidence."""
    parts = {
        "Torvyn.toml": written.manifest,
        "pipeline.toml": written.pipeline,
        "config.toml": written.user,
        "environment": dict(written.environment),
        "command line": dict(written.command_line),
    }
    return {name: value for name, value in parts.items() if value}
