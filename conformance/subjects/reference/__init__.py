"""The reference runtime as a subject: with the mutants, the only place in the suite that knows `torvyn_ref` (law 1).

`ReferenceParts` names the parts that the subject is made of. A mutant is the reference with one of them replaced by a faulty one.
"""

from __future__ import annotations

from importlib.metadata import version

from conformance.errors import Refused
from conformance.subjects.inprocess import PythonSubject
from conformance.subjects.protocol import Facet
from conformance.subjects.reference.capabilities import ReferenceCapabilities
from conformance.subjects.reference.commands import ReferenceCommands
from conformance.subjects.reference.compiling import ENGINES
from conformance.subjects.reference.config import ReferenceConfig
from conformance.subjects.reference.contracts import ReferenceContracts
from conformance.subjects.reference.flows import ReferenceFlows
from conformance.subjects.reference.guests import ReferenceGuests
from conformance.subjects.reference.observability import ReferenceObservability
from conformance.subjects.reference.packaging import ReferencePackaging
from conformance.subjects.reference.parts import ReferenceParts as ReferenceParts
from conformance.subjects.reference.parts import SecurityParts as SecurityParts
from conformance.subjects.reference.resources import ReferenceResources, wire_fields
from conformance.subjects.reference.streams import ReferenceStreams
from torvyn_ref.compiled import is_compiled
from torvyn_ref.errors import TorvynError
from torvyn_ref.flow.topology import MAX_STAGES

CAPABILITIES = {
    Facet.RESOURCES: ("concurrency", "exhaustion_error", "rm_read=clamp", "state_tables"),
    Facet.FLOWS: (
        "circuit_breaker",
        "concurrency",
        "consumer_first",
        "independent_per_branch",
        "node_limit",
        f"node_limit={MAX_STAGES}",
        "rate_limit",
        "shutdown_meanwhile",
        "signals",
        "state_tables",
        "stream_defaults",
        "virtual_clock",
        "watchdog",
    ),
    Facet.GUESTS: ("audit", "by-hand", "flows", *(f"engine={name}" for name in ENGINES)),
}
"""What the reference can do beyond what everybody must (`conformance.rulebook.Capability`)."""


def reference_subject(parts: ReferenceParts | None = None, *, name: str = "torvyn-ref") -> PythonSubject:
    """Make a subject of the reference runtime, or of a variant of it."""
    parts = parts or ReferenceParts()
    return PythonSubject(
        name=name,
        version=version("torvyn-conformance") + ("+compiled" if is_compiled() else ""),
        resources=ReferenceResources(parts),
        streams=ReferenceStreams(parts),
        flows=ReferenceFlows(parts),
        guests=ReferenceGuests(parts),
        cli=ReferenceCommands(parts),
        observability=ReferenceObservability(parts),
        contracts=ReferenceContracts(parts),
        packaging=ReferencePackaging(parts),
        config=ReferenceConfig(parts),
        security=ReferenceCapabilities(parts),
        capabilities=CAPABILITIES,
        refusal=_refusal,
    )


def _refusal(error: Exception) -> Refused | None:
    """Translate the runtime's refusals into the protocol's; anything else it raises is a crash."""
    return Refused(error.kind, error.message, wire_fields(error.fields)) if isinstance(error, TorvynError) else None
