"""One example of every message of the protocol: for its reference, for the doctor, and to try whether an operation is offered at all."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import inspect

from conformance.subjects import protocol as p

M = TypeVar("M", bound=msgspec.Struct)

WORDS = MappingProxyType(
    {
        "owner": "component-1",
        "caller": "component-1",
        "reader": "component-1",
        "borrower": "component-2",
        "component": "component-1",
        "source": "component-1",
        "target": "component-2",
        "tier": "small",
        "content_type": "text/plain",
        "buffer_content_type": "text/plain",
        "policy": "block-producer",
        "project": "/nonexistent/project",
        "output": "/nonexistent/output",
        "into": "/nonexistent/directory",
        "file": "/nonexistent/component-1.0.0.torvyn",
        "home": "/nonexistent/home",
        "state": "owned",
        "previous_state": "owned",
        "previous_owner": "component-1",
        "reason": "it has none",
        "verdict": "enqueued",
        "pressure": "normal",
        "engine": "direct",
        "call": "process",
        "outcome": "emitted",
        "language": "rust",
        "name": "my-runtime",
        "version": "1.0",
        "kind": "not-owner",
        "message": "buffer-0:g1 belongs to host",
    }
)
"""Texts by the name of the field; other texts say `text`."""

NUMBERS = MappingProxyType({"generation": 1, "capacity": 256, "length": 16, "protocol": p.PROTOCOL, "index": 0, "offset": 0, "port": 0})

FLOW = p.FlowSpec(
    (
        p.StageSpec("source", "source", p.Script((p.Answer("emit"), p.Answer("emit")), p.Answer("end"))),
        p.StageSpec("sink", "sink", p.Script((), p.Answer("ready"))),
    ),
    (p.EdgeSpec("source", "sink", capacity=4),),
)
"""Two elements from a source to a sink."""

WIT = MappingProxyType({"greeting.wit": "package acme:greeting@0.1.0;\ninterface words { say: func(to: string) -> string; }\n"})
"""A small package of WIT."""

GIVEN: MappingProxyType[type[msgspec.Struct], msgspec.Struct] = MappingProxyType(
    {
        p.RunFlow: p.RunFlow(FLOW),
        p.RunCommand: p.RunCommand(("--version",)),
        p.ObserveFlow: p.ObserveFlow(FLOW, readings=(2,)),
        p.TraceContext: p.TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1),
        p.DescendContext: p.DescendContext(p.TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1)),
        p.SampleTraces: p.SampleTraces(0.5, ("4bf92f3577b34da6a3ce929d0e0e4736",)),
        p.UseRing: p.UseRing(8, (1, 2, None)),
        p.UseEvents: p.UseEvents((p.EventStep("emit", 3), p.EventStep("read", 3))),
        p.HistogramData: p.HistogramData((100, 250), (2, 1, 0), 3, 310, 90, 120),
        p.HistogramReply: p.HistogramReply(p.HistogramData((100, 250), (2, 1, 0), 3, 310, 90, 120), (100.0,)),
        p.FlowTransition: p.FlowTransition("Running", "Draining"),
        p.ResourceTransition: p.ResourceTransition("Owned", "Borrowed"),
        p.OpenResources: p.OpenResources(),
        p.CheckComponent: p.CheckComponent(
            {
                "Torvyn.toml": b'[component]\nname = "greeting"\nversion = "0.1.0"\n',
                "wit/greeting.wit": WIT["greeting.wit"].encode() + b"world greeting { export words; }\n",
            }
        ),
        p.ComparePackages: p.ComparePackages(dict(WIT), {"greeting.wit": WIT["greeting.wit"].replace("to: string", "to: u32")}),
        p.MeetRequirement: p.MeetRequirement(dict(WIT), dict(WIT), ("words",)),
        p.ComposeComponents: p.ComposeComponents((p.Part("greeting", (dict(WIT),), ("clock:wall",)),), (p.Connection("greeting", "end"),)),
        p.IdentifyComponent: p.IdentifyComponent(b"\0asm\x0d\0\x01\0"),
        p.LinkPipelines: p.LinkPipelines(
            (
                p.Pipeline(
                    "greet",
                    (
                        p.PipelineNode("from", "torvyn:streaming/source", exports=("torvyn:streaming/source@0.1.0",)),
                        p.PipelineNode("to", "torvyn:streaming/sink", exports=("torvyn:streaming/sink@0.1.0",)),
                    ),
                    (p.PipelineEdge("from", "to"),),
                ),
            )
        ),
        p.OpenStream: p.OpenStream(capacity=4),
        p.Declaration: p.Declaration("my-runtime", "1.0", p.PROTOCOL, (p.FacetClaim(p.Facet.STREAMS),), language="rust"),
        p.PushedReply: p.PushedReply("enqueued", p.StreamReply(1, 3, 4, 2, "normal", may_produce=True, is_complete=False)),
        p.PoppedReply: p.PoppedReply(7, p.StreamReply(0, 4, 4, 2, "normal", may_produce=True, is_complete=False)),
        p.StreamReply: p.StreamReply(0, 4, 4, 2, "normal", may_produce=True, is_complete=False),
        p.Publish: p.Publish("/nonexistent/component-1.0.0.torvyn", "127.0.0.1:1/team/component", "/nonexistent/home"),
        p.ParseReference: p.ParseReference("oci://registry.example:5000/team/component:1.0.0"),
        p.WriteRecord: p.WriteRecord(p.SignatureRecord("unsigned", "nobody", "2026-01-02T03:04:05Z", verified=False)),
        p.Unsupported: p.Unsupported("streams here never end"),
    }
)
"""Examples that mean something as a whole."""


def example_of(message: type[M]) -> M:
    """Return an example of a kind of message, valid by its type; fields that may be left out are left out."""
    given = GIVEN.get(message)
    if given is not None:
        assert isinstance(given, message)
        return given
    described = inspect.type_info(message)
    assert isinstance(described, inspect.StructType)
    return message(**{field.name: _value(field.name, field.type) for field in described.fields if field.required})


def _value(name: str, kind: inspect.Type) -> Any:
    match kind:
        case inspect.StrType():
            return WORDS.get(name, "text")
        case inspect.BoolType():
            return False
        case inspect.IntType():
            return NUMBERS.get(name, 1)
        case inspect.FloatType():
            return 0.5
        case inspect.BytesType():
            return b"data"
        case inspect.NoneType():
            return None
        case inspect.EnumType():
            return next(iter(kind.cls))
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.VarTupleType():
            return (_value(name, kind.item_type),)
        case inspect.TupleType():
            return tuple(_value(name, each) for each in kind.item_types)
        case inspect.DictType():
            return {}
        case inspect.StructType():
            return example_of(kind.cls)
        case inspect.UnionType():
            return _value(name, kind.types[0])
        case inspect.AnyType():
            return "anything"
    raise TypeError(f"no example of {kind}")


CONDITIONAL: MappingProxyType[str, str] = MappingProxyType(
    {
        p.name_of(p.Concurrent): "concurrency",
        p.name_of(p.ResourceTransition): "state_tables",
        p.name_of(p.FlowTransition): "state_tables",
    }
    | {f"guests.{verb}": "by-hand" for verb in ("start", "invoke")}
    | {p.name_of(p.RunGuestFlow): "flows"}
)
"""Operations that the suite asks only of subjects that claim a capability."""


def requests_of(facet: p.Facet) -> tuple[type[p.AnyRequest], ...]:
    """Return a facet's requests, in the order of the protocol: what opens comes first."""
    return tuple(request for request in get_args(p.AnyRequest) if p.name_of(request).startswith(f"{facet}."))


def _expected(request: type[p.AnyRequest]) -> str:
    """Return the tag of the reply that a request's docstring promises, written after an arrow; `done` where it names none."""
    found = re.search(r"→ `([a-z-]+)`", request.__doc__ or "")
    return found[1] if found else p.name_of(p.Done)


EXPECTED: MappingProxyType[str, str] = MappingProxyType({p.name_of(request): _expected(request) for request in get_args(p.AnyRequest)})
"""The reply that each request is answered with, when it is neither refused nor declined."""
