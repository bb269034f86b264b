"""Facet `config`: a project's settings, from all the places that may say something, or all the mistakes in them.

Paths are of a file system that suite and subject share, as in the facet `packaging`. A key is written with dots: `runtime.worker_threads`,
`security.grants.NAME.capabilities`, `flow.NAME.nodes.NODE.max_memory`.
"""

from __future__ import annotations

from typing import Any, Literal

from conformance.subjects.protocol.base import Message, Reply, Request

Origin = Literal["command-line", "environment", "pipeline", "manifest", "user", "default"]


class LoadConfiguration(Request, frozen=True, tag="config.load"):
    """Load a project's configuration, with everything that layers over it → `configuration`; a fault lists what is wrong.

    Attributes:
        project: a directory; its Torvyn.toml, and its pipeline.toml if there is one, are read.
        home: the user's home directory, with .config/torvyn/config.toml if there is one.
        environment: all environment variables besides HOME.
        command_line: settings given on the command line: key to text.
        want: the keys whose values are asked for.

    In the fault's `fields`, `errors` lists every mistake as an object: `kind` (symbolic), `field` (the key; positions in lists as in
    `component[0].name`; empty when it is about a file), `file`, `message`, and `hint`, what to do (empty when there is nothing to say).
    """

    project: str
    home: str
    environment: dict[str, str] = {}
    command_line: dict[str, str] = {}
    want: tuple[str, ...] = ()


class ConfiguredStream(Message, frozen=True):
    """What a stream of a flow gets: its ends, capacity and overflow policy."""

    source: str
    target: str
    queue_depth: int
    policy: str


class ConfiguredFlow(Message, frozen=True):
    """A flow as it would be run: its nodes by name with what each instantiates, and its streams in file order."""

    name: str
    nodes: dict[str, str] = {}
    streams: tuple[ConfiguredStream, ...] = ()


class ConfigurationReply(Reply, frozen=True, tag="configuration"):
    """The effective configuration.

    Attributes:
        values: of the wanted keys that have one; sizes in bytes, lists as arrays.
        origins: for wanted keys, the place that a value comes from, as far as the runtime can tell.
        flows: in the order in which they were found.
        default_flow: the one to run without a choice.
    """

    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    flows: tuple[ConfiguredFlow, ...] = ()
    default_flow: str | None = None
