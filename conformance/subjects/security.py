"""A typed client of the facet `capabilities`."""

from __future__ import annotations

from typing import Literal, Protocol, TypeVar

from conformance.errors import Refused
from conformance.subjects import protocol as p

T = TypeVar("T", bound=p.Reply)


class Ask(Protocol):
    """Sends a request, and returns its reply."""

    def __call__(self, request: p.AnyRequest, expected: type[T], /) -> T:
        """Ask."""
        ...


class SecurityClient:
    """Facet capabilities: what a component may do, decided, held, and written down."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def open(self) -> None:
        """Start over: no sandbox, and an audit log without events."""
        self._ask(p.OpenCapabilities(), p.Done)

    def parse(self, text: str) -> str:
        """Read a capability, and return it as the runtime writes it."""
        return self._ask(p.ParseCapability(text), p.CapabilityReply).canonical

    def refusal(self, text: str) -> str | None:
        """Return the kind of the refusal to read a capability; None when it is read."""
        try:
            self.parse(text)
        except Refused as refused:
            return refused.kind
        return None

    def covers(self, grant: str, request: str) -> bool:
        """Tell whether a grant covers a request."""
        return self._ask(p.CoverCapability(grant, request), p.CoverageReply).covers

    def configure(
        self,
        component: str,
        declared: tuple[str, ...] = (),
        granted: tuple[str, ...] = (),
        *,
        policy: str = "deny-all",
        flow: str = "main",
    ) -> p.SandboxReply:
        """Decide what a component may do."""
        return self._ask(p.ConfigureSandbox(component, declared, granted, policy, flow), p.SandboxReply)

    def query(self, sandbox: int) -> p.SandboxReply:
        """Look at a sandbox again."""
        return self._ask(p.QuerySandbox(sandbox), p.SandboxReply)

    def exercise(self, sandbox: int, capability: str, times: int = 1) -> p.ExercisedReply:
        """Let a sandbox's component try something."""
        return self._ask(p.ExerciseCapability(sandbox, capability, times), p.ExercisedReply)

    def end(self, sandbox: int) -> tuple[p.AuditEvent, ...]:
        """End a sandbox's component."""
        return self._ask(p.EndSandbox(sandbox), p.AuditedReply).events

    def audit(
        self,
        sink: Literal["nothing", "stdout", "file"],
        events: tuple[p.AuditEntry, ...],
        *,
        max_bytes: int = 1_000_000,
        max_files: int = 5,
        broken: bool = False,
    ) -> p.AuditWrittenReply:
        """Write events to an audit log of its own."""
        return self._ask(p.WriteAudit(sink, events, max_bytes, max_files, broken), p.AuditWrittenReply)

    def severities(self, severities: tuple[str, ...]) -> p.SeveritiesReply:
        """Put severities in order."""
        return self._ask(p.OrderSeverities(severities), p.SeveritiesReply)

    def run(
        self, files: dict[str, bytes], environment: dict[str, str] | None = None, *, strict_allocation: bool = False
    ) -> p.RunAuditedReply:
        """Run the first flow of a project."""
        return self._ask(p.RunAudited(files, environment or {}, strict_allocation), p.RunAuditedReply)
