"""One call of a component as data: how a scenario says it, how a finding shows it, how `--steps` reads it back."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import msgspec

from conformance.errors import SuiteError
from conformance.subjects import protocol as p


def filled(length: int) -> bytes:
    """Return a payload of a length, the same every time: digits, so that every offset looks different."""
    return (b"0123456789abcdef" * (length // 16 + 1))[:length]


@dataclass(frozen=True, slots=True)
class Step:
    """One call, or several of the same.

    Attributes:
        call: its WIT name.
        payload, content_type, buffer_type: of the element that is lent, where the call takes one.
        text: the configuration of init, the signal of notify-backpressure.
        times: how often in a row.
        fault: what the allocator refuses during it.
    """

    call: str
    payload: bytes = b""
    content_type: str = ""
    buffer_type: str = ""
    text: str = ""
    times: int = 1
    fault: p.AllocatorFault | None = None

    def request(self) -> p.InvokeGuest:
        """Return the message."""
        return p.InvokeGuest(self.call, self.payload, self.content_type, self.buffer_type, self.text, self.fault)

    def show(self) -> dict[str, Any]:
        """Return the step as JSON data, without what is usual: the form that `--steps` reads."""
        shown: dict[str, Any] = {"call": self.call}
        if self.payload:
            shown |= _shown_payload(self.payload)
        shown |= {"type": self.content_type} if self.content_type else {}
        if self.buffer_type != self.content_type:
            shown["buffer_type"] = self.buffer_type
        shown |= {"with": self.text} if self.text else {}
        shown |= {"times": self.times} if self.times != 1 else {}
        if self.fault is not None:
            shown["refuse"] = {"at": self.fault.at, "kind": self.fault.kind} | ({"lasting": True} if self.fault.lasting else {})
        return shown


def _shown_payload(payload: bytes) -> dict[str, Any]:
    if len(payload) > 32 and payload == filled(len(payload)):
        return {"fill": len(payload)}
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(payload).decode()}
    return {"text": text}


class _Refuse(msgspec.Struct, forbid_unknown_fields=True):
    at: int = 1
    kind: str = "allocation-failed"
    lasting: bool = False


class _Shown(msgspec.Struct, forbid_unknown_fields=True):
    call: str
    text: str | None = None
    base64: bytes | None = None
    fill: int | None = None
    type: str = ""
    buffer_type: str | None = None
    with_: str = msgspec.field(default="", name="with")
    times: int = 1
    refuse: _Refuse | None = None


MOST_TIMES = 100_000


def read_steps(text: str) -> tuple[Step, ...]:
    """Read the value of `--steps`: a JSON list of steps, as a finding shows them.

    Raises:
        SuiteError: it is none; what and where.
    """
    try:
        shown = msgspec.json.decode(text.encode(), type=list[_Shown])
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise SuiteError(f'--steps is no list of steps: {error}; for example \'[{{"call": "init"}}, {{"call": "pull"}}]\'') from error
    return tuple(_read_step(one) for one in shown)


def _read_step(one: _Shown) -> Step:
    if not 1 <= one.times <= MOST_TIMES:
        raise SuiteError(f"--steps: {one.call} {one.times} times is not possible; 1 to {MOST_TIMES} are")
    if one.fill is not None and not 0 <= one.fill <= 1 << 24:
        raise SuiteError(f"--steps: a payload of {one.fill} bytes is not possible; no buffer holds more than {1 << 24}")
    payload = filled(one.fill) if one.fill is not None else one.base64 if one.base64 is not None else (one.text or "").encode()
    buffer_type = one.type if one.buffer_type is None else one.buffer_type
    fault = None if one.refuse is None else p.AllocatorFault(one.refuse.at, one.refuse.kind, one.refuse.lasting)
    return Step(one.call, payload, one.type, buffer_type, one.with_, one.times, fault)
