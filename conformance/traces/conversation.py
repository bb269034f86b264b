"""What the models say about a recorded conversation: request by request, what the answer had to be.

A model goes on as long as the answers are what it allows. After the first that is not, it no longer knows what the subject holds, and says
nothing more until the subject starts over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conformance.models.flow import LEGAL
from conformance.models.topology import Defect, defects
from conformance.subjects import protocol as p
from conformance.traces.file import Shows
from conformance.traces.talk import Demand, ResourceTalk, StreamTalk


class Conversation:
    """The models of all facets, listening to one conversation.

    Attributes:
        evaluations: how often each rule was evaluated.
        broken: the first time that each rule was broken.
        demands: what the answer to the last request had to be, in words; empty where no model knows.
    """

    def __init__(self, claims: Mapping[str, Iterable[str]]) -> None:
        self.evaluations: dict[str, int] = {}
        self.broken: dict[str, Shows] = {}
        self.demands = ""
        self._resources = ResourceTalk(frozenset(claims.get(str(p.Facet.RESOURCES), ())))
        self._streams = StreamTalk()

    def take(self, at: int, request: p.AnyRequest, reply: p.AnyReply | None) -> None:
        """Take the next exchange and judge it."""
        self.demands = ""
        for demand in self._demands(request, reply):
            self.demands = self.demands or demand.expected
            for rule in demand.rules:
                self._note(at, rule, 1, None if demand.holds else _shows(rule, demand, at))

    def judged(self, at: int, rules: Iterable[tuple[str, int, Shows | None]]) -> None:
        """Take over what the monitors say about a flow in the conversation."""
        for rule, evaluations, broken in rules:
            self._note(at, rule, evaluations, broken)

    def _note(self, at: int, rule: str, evaluations: int, broken: Shows | None) -> None:
        self.evaluations[rule] = self.evaluations.get(rule, 0) + evaluations
        if broken is not None and rule not in self.broken:
            self.broken[rule] = Shows(rule=rule, message=broken.message, expected=broken.expected, found=broken.found, at=at)

    def _demands(self, request: p.AnyRequest, reply: p.AnyReply | None) -> Iterable[Demand]:
        if reply is None or isinstance(reply, p.Unsupported):
            return ()
        if isinstance(request, p.RunFlow):
            return _graph(request.spec, reply)
        if isinstance(request, p.FlowTransition):
            legal = (request.old, request.new) in LEGAL
            expected = "done" if legal else "invalid-transition"
            return (
                Demand(("FLOW-001",), isinstance(reply, p.Done) == legal, f"{request.old} -> {request.new}", expected, p.tag_of(reply)),
            )
        facet = p.facet_of(request)
        if facet is p.Facet.STREAMS:
            return self._streams.take(request, reply)
        if facet is p.Facet.RESOURCES:
            return self._resources.take(request, reply)
        return ()


def _graph(spec: p.FlowSpec, reply: p.AnyReply) -> Iterable[Demand]:
    """Say whether a flow had to be refused for its graph."""
    found = defects(spec)
    refused = isinstance(reply, p.Fault)
    if not found:
        return ()
    rules: dict[str, Defect] = {}
    for defect in found:
        rules.setdefault(defect.rule, defect)
    return [
        Demand((rule,), refused, f"the flow was not refused: {defect.message}", "a fault", p.tag_of(reply))
        for rule, defect in rules.items()
    ]


def _shows(rule: str, demand: Demand, at: int) -> Shows:
    return Shows(rule=rule, message=demand.message, expected=demand.expected, found=demand.found, at=at)
