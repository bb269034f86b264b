"""Running a recorded trace again, on any subject: the same flow, or the same requests, compared line by line.

Runtimes name buffers, handles and instants as they like, so lines are compared by what they say: buffers by the order in which they first
appear, handles by the requests that gave them out, instants not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from conformance.errors import SubjectError
from conformance.subjects import protocol as p
from conformance.subjects.session import Session
from conformance.traces import events as e
from conformance.traces.file import Exchange, TraceFile, TraceFileError, of_flow
from conformance.traces.record import header


def replay(session: Session, trace: TraceFile) -> TraceFile:
    """Run a trace again and return what the subject did this time; its last exchange has no reply when the subject died of it.

    Raises:
        TraceFileError: the trace does not say what its components do, or it was limited, which no request can say.
    """
    flow = trace.header.flow
    if flow is None:
        return TraceFile(header(session.declaration), exchanges=tuple(_converse(session, trace.exchanges)))
    if not trace.scripted:
        raise TraceFileError(
            "the trace cannot be replayed: its flow ran real components, and the header has no scripts that say what they do; "
            "`torvyn-conformance judge` judges it as it is"
        )
    if trace.header.limit is not None:
        raise TraceFileError("the trace cannot be replayed: its header has a `limit`, and a subject cannot be asked for one")
    (exchange,) = _converse(session, (Exchange(request=p.RunFlow(flow)),))
    if isinstance(exchange.reply, p.FlowRunReply):
        return of_flow(header(session.declaration, flow=flow), exchange.reply)
    return TraceFile(header(session.declaration), exchanges=(exchange,))


def _converse(session: Session, recorded: Sequence[Exchange]) -> Iterable[Exchange]:
    """Send the recorded requests, with the handles that this subject has given out in place of the recorded ones."""
    handles: dict[tuple[int, int], tuple[int, int]] = {}
    for exchange in recorded:
        request = msgspec.convert(_with_handles(msgspec.to_builtins(exchange.request), handles), p.AnyRequest)
        try:
            reply: p.AnyReply | None = session.answer(request)
        except SubjectError:
            yield Exchange(request=request)
            return
        _learn(msgspec.to_builtins(exchange.reply), msgspec.to_builtins(reply), handles)
        yield Exchange(request=request, reply=reply)


def _is_handle(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"index", "generation"}


def _with_handles(value: Any, handles: dict[tuple[int, int], tuple[int, int]]) -> Any:
    if _is_handle(value):
        old = (value["index"], value["generation"])
        index, generation = handles.get(old, old)
        return {"index": index, "generation": generation}
    if isinstance(value, dict):
        return {key: _with_handles(part, handles) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_with_handles(part, handles) for part in value]
    return value


def _learn(old: Any, new: Any, handles: dict[tuple[int, int], tuple[int, int]]) -> None:
    """Take note of which handle stands for which, where both replies have one."""
    if _is_handle(old) and _is_handle(new):
        handles.setdefault((old["index"], old["generation"]), (new["index"], new["generation"]))
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() & new.keys():
            _learn(old[key], new[key], handles)
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        for one, other in zip(old, new, strict=False):
            _learn(one, other, handles)


# ---------------------------------------------------------------- comparing


def plain(trace: TraceFile) -> list[str]:
    """Return a trace's lines as they are compared and shown: without instants, buffers and handles by order of appearance."""
    names: dict[str, str] = {}

    def name(kind: str, what: str) -> str:
        return names.setdefault(what, f"{kind}{sum(known.startswith(kind) for known in names.values())}")

    if trace.events:
        return [_event(event, name) for event in trace.events]
    return [f"{_message(exchange.request, name)} -> {_message(exchange.reply, name)}" for exchange in trace.exchanges]


def _event(event: e.AnyEvent, name: Any) -> str:
    parts = [str(event.__struct_config__.tag)]
    for key in event.__struct_fields__:
        value = getattr(event, key)
        if key in {"at", "timestamp", "duration"} or value is None:
            continue
        if key == "buffer":
            value = name("b", value)
        parts.append(str(value) if key in {"stage", "fn", "old", "new", "op", "buffer", "outcome", "state", "reason"} else f"{key}={value}")
    return " ".join(parts)


def _message(message: p.AnyRequest | p.AnyReply | None, name: Any) -> str:
    if message is None:
        return "no answer"

    def shown(value: Any) -> Any:
        if _is_handle(value):
            return name("h", f"{value['index']}:{value['generation']}")
        if isinstance(value, dict):
            return {key: shown(part) for key, part in value.items() if key != "message"}
        if isinstance(value, list | tuple):
            return [shown(part) for part in value]
        return value

    fields = shown(msgspec.to_builtins(message))
    tag = fields.pop("op", None) or fields.pop("re", "")
    return " ".join((str(tag), *_flat(fields)))


def _flat(fields: dict[str, Any]) -> Iterable[str]:
    """Yield `name=value`, with the fields of inner values in line."""
    for key, value in fields.items():
        if isinstance(value, dict) and value and key not in {"fields", "spec"}:
            yield from _flat({f"{key}.{name}": part for name, part in value.items() if name != "re"})
        else:
            yield f"{key}={value}"


def first_difference(one: Sequence[str], other: Sequence[str]) -> int | None:
    """Return the first place at which two traces differ; None when they are alike."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return None if len(one) == len(other) else min(len(one), len(other))
