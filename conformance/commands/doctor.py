"""`torvyn-conformance doctor`: walks through the protocol message by message, and says whose fault each mismatch is.

It does not judge the runtime: whether an answer is right is for the checks. It asks whether there is an answer, in time, of the right form,
and one that fits what the subject has declared.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from conformance.commands.output import Format, FormatOption, as_json, emit
from conformance.errors import SubjectError
from conformance.report.words import clean
from conformance.subjects import protocol as p
from conformance.subjects.connect import FORMS, Connection, find
from conformance.subjects.samples import CONDITIONAL, EXPECTED, FLOW, example_of, requests_of
from conformance.subjects.stdio import StdioSettings

EXITS = "Exit codes: 0 the adapter is in order, 1 something does not fit, 4 wrong usage (the subject cannot be started), 130 interrupted."
ADAPTER, DECLARATION, RUNTIME = "the adapter", "the declaration", "the runtime or its adapter"


ENDS = frozenset(f"resources.{verb}" for verb in ("freeze", "transfer", "release", "force-reclaim", "release-flow", "register-component"))
"""Requests that are made last: what the others are tried on is gone after them."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One message that was sent, and what came of it.

    Attributes:
        ok: the answer fits.
        fault: whose it is, when it does not.
        advice: what to do about it.
    """

    operation: str
    ok: bool
    said: str
    fault: str = ""
    advice: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The whole walk."""

    schema_version: int
    subject: str
    steps: tuple[Step, ...]
    healthy: bool


class Doctor:
    """Walks with one subject, through fresh processes where one has ended."""

    def __init__(self, subject: str, settings: StdioSettings) -> None:
        self._connection = Connection(find(subject, settings))
        self.steps: list[Step] = []

    def examine(self) -> None:
        """Take all steps."""
        try:
            session = self._connection.session()
        except SubjectError as error:
            self._unanswered("hello", error)
            return
        said = session.declaration
        facets = ", ".join(f"{claim.facet} {list(claim.capabilities)}" for claim in said.facets) or "no facet"
        self._add("hello", said=f"{said.name} {said.version}, protocol {said.protocol}, {facets}")
        if not said.facets:
            self._add("hello", fault=DECLARATION, said="no facet is claimed", advice="claim at least one facet, or nothing can be judged")
        for facet in p.FACET_VERSIONS:
            for kind in sorted(requests_of(facet), key=lambda kind: p.name_of(kind) in ENDS):
                self._ask(kind, facet)
        if session.offers(p.Facet.STREAMS):
            self._converse()
        self._strange()
        self._goodbye()

    def close(self) -> None:
        """End the subject."""
        self._connection.close()

    # ---- steps

    def _ask(self, kind: type[p.AnyRequest], facet: p.Facet) -> None:
        name = p.name_of(kind)
        try:
            session = self._connection.session()
            reply = session.answer(example_of(kind))
        except SubjectError as error:
            self._unanswered(name, error)
            return
        claimed, declined = session.offers(facet), name in session.declaration.unsupported
        condition = CONDITIONAL.get(name)
        if isinstance(reply, p.Unsupported):
            if claimed and not declined and (condition is None or condition in session.capabilities(facet)):
                advice = f'add "{name}" to the declaration\'s `unsupported`, with the reason, or implement it'
                self._add(name, fault=DECLARATION, said=f"declined: {reply.reason}", advice=advice)
            else:
                self._add(name, said=f"declined, as declared: {reply.reason}")
            return
        if not claimed or declined:
            what = f'the facet "{facet}"' if not claimed else f'"{name}"'
            self._add(name, fault=DECLARATION, said=f"answered, and not claimed: {_show(reply)}", advice=f"claim {what}, or decline it")
            return
        if isinstance(reply, p.Broke):
            self._add(name, fault=RUNTIME, said=_show(reply), advice="the example is harmless: the runtime must survive it")
            return
        wanted = EXPECTED[name]
        if isinstance(reply, p.Fault):
            self._fault(name, reply)
        elif p.tag_of(reply) != wanted:
            self._add(name, fault=ADAPTER, said=f"answered `{p.tag_of(reply)}`: {_show(reply)}", advice=f"answer `{wanted}`, or a fault")
        else:
            self._add(name, said=_show(reply))

    def _fault(self, name: str, reply: p.Fault) -> None:
        if name in {"streams.open", "flows.run", "resources.open"}:
            advice = f"the example is as simple as can be ({msgspec.json.encode(FLOW).decode()[:80]} ...)" if name == "flows.run" else ""
            self._add(name, fault=RUNTIME, said=f"refused: {_show(reply)}", advice=advice or "the example's settings are valid")
        elif not reply.kind or reply.kind != reply.kind.lower() or " " in reply.kind:
            self._add(name, fault=ADAPTER, said=f"refused as {reply.kind!r}", advice="a kind is a symbol in kebab-case, like `not-owner`")
        else:
            self._add(name, said=f"refused: {_show(reply)}")

    def _converse(self) -> None:
        """Push one element and take it back: the shortest conversation that shows that the adapter keeps anything at all."""
        try:
            session = self._connection.session()
            session.answer(p.OpenStream(2))
            session.answer(p.PushValue(41))
            reply = session.answer(p.PopValue())
        except SubjectError as error:
            self._unanswered("streams.open, push, pop", error)
            return
        if isinstance(reply, p.PoppedReply) and reply.value == 41:
            self._add("streams.open, push, pop", said="41 went in and came out")
        elif not isinstance(reply, p.Unsupported):
            advice = "streams.open starts over, push appends, pop takes the oldest"
            self._add("streams.open, push, pop", fault=RUNTIME, said=f"41 went in, and out came {_show(reply)}", advice=advice)

    def _strange(self) -> None:
        """Ask for a feature of later protocols, as the suite may do: an adapter must decline it and stay."""
        name = "a second hello"
        try:
            reply = self._connection.session().answer(p.Hello())
        except SubjectError as error:
            self._unanswered(name, error)
            return
        if isinstance(reply, p.Declaration):
            self._add(name, said="the same answer again")
        else:
            self._add(name, fault=ADAPTER, said=_show(reply), advice="answer `hello` with the declaration, as often as it is asked")

    def _goodbye(self) -> None:
        try:
            reply = self._connection.session().answer(p.Bye())
        except SubjectError as error:
            self._unanswered("bye", error)
            return
        fits = isinstance(reply, p.Done)
        self._add("bye", said=_show(reply), fault="" if fits else ADAPTER, advice="" if fits else "answer `done`, then end")

    def _unanswered(self, name: str, error: SubjectError) -> None:
        said = " | ".join([str(error), *(line for line in error.detail.splitlines() if line.strip())])
        advice = "write the reply on one line of standard output, flush it, and nothing else there"
        self._add(name, fault=error.fault.replace("the subject's adapter", ADAPTER), said=said, advice=advice)
        self._connection.close()

    def _add(self, operation: str, *, said: str, fault: str = "", advice: str = "") -> None:
        self.steps.append(Step(operation=operation, ok=not fault, said=said[:600], fault=fault, advice=advice))


def _show(reply: p.AnyReply) -> str:
    text = msgspec.json.encode(reply).decode()
    return text if len(text) <= 160 else f"{text[:160]}..."


def doctor(
    subject: Annotated[str, typer.Option("--subject", help=f"Who is examined: {FORMS}.")],
    output_format: FormatOption = Format.TEXT,
    reply_timeout: Annotated[float, typer.Option("--reply-timeout", min=0.01, help="Seconds for one answer of a stdio subject.")] = 10.0,
) -> None:
    """Walk through the protocol with an adapter, message by message, and say whose fault each mismatch is."""
    physician = Doctor(subject, StdioSettings(reply_timeout=reply_timeout))
    try:
        physician.examine()
    finally:
        physician.close()
    healthy = all(step.ok for step in physician.steps)
    diagnosis = Diagnosis(schema_version=1, subject=subject, steps=tuple(physician.steps), healthy=healthy)
    emit(as_json(diagnosis) if output_format is Format.JSON else render(diagnosis), None)
    raise typer.Exit(0 if healthy else 1)


def render(diagnosis: Diagnosis) -> str:
    """Render a walk as text."""
    lines = []
    for step in diagnosis.steps:
        lines.append(f"{'ok ' if step.ok else 'BAD'} {step.operation}: {step.said}")
        if not step.ok:
            lines.append(f"    fault of {step.fault}{f': {step.advice}' if step.advice else ''}")
    bad = sum(not step.ok for step in diagnosis.steps)
    lines.append("")
    lines.append(f"{len(diagnosis.steps)} steps, {'all fit' if not bad else f'{bad} do not fit'}: {diagnosis.subject}")
    return clean("\n".join(lines)) + "\n"
