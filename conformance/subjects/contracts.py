"""The client of the facet contracts: every message is a question of its own, and nothing is remembered between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from conformance.subjects import protocol as p
from conformance.subjects.guests import Ask


class ContractsClient:
    """Facet contracts: packages and manifests judged, compared and composed; pipelines linked."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def check(self, files: Mapping[str, bytes]) -> p.ContractCheckedReply:
        """Check a component's project."""
        return self._ask(p.CheckComponent(dict(files)), p.ContractCheckedReply)

    def compare(self, old: Mapping[str, str], new: Mapping[str, str]) -> p.ContractsComparedReply:
        """Compare two versions of a package."""
        return self._ask(p.ComparePackages(dict(old), dict(new)), p.ContractsComparedReply)

    def meet(self, consumer: Mapping[str, str], provider: Mapping[str, str], uses: Sequence[str]) -> p.ContractCheckedReply:
        """Ask whether a provider serves a consumer."""
        return self._ask(p.MeetRequirement(dict(consumer), dict(provider), tuple(uses)), p.ContractCheckedReply)

    def compose(self, components: Sequence[p.Part], connections: Sequence[tuple[str, str]]) -> p.ContractCheckedReply:
        """Check whether components fit together."""
        joined = tuple(p.Connection(source, target) for source, target in connections)
        return self._ask(p.ComposeComponents(tuple(components), joined), p.ContractCheckedReply)

    def identify(self, component: bytes) -> p.ComponentIdentifiedReply:
        """Say what a component is."""
        return self._ask(p.IdentifyComponent(component), p.ComponentIdentifiedReply)

    def link(self, *pipelines: p.Pipeline) -> tuple[p.LinkOutcome, ...]:
        """Link pipelines with one linker."""
        return self._ask(p.LinkPipelines(pipelines), p.PipelinesLinkedReply).outcomes
