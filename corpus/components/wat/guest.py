"""A guest as the corpus keeps it: its text, and what the catalogue says about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from corpus.components.wat.assemble import component, imported_interfaces
from corpus.components.wat.exports import EXPORTED_INTERFACES, WORLDS
from corpus.components.wat.settings import Setting, init_body, storage


class Behaviour(StrEnum):
    """Whether a guest keeps the contract. One that answers with an error keeps it."""

    WELL = "well-behaved"
    MIS = "misbehaving"


class Outcome(StrEnum):
    """How a misbehaving guest shows, when an ordinary host drives it."""

    TRAP = "trap"
    """A call ends in a trap; the instance is dead."""
    NEVER_RETURNS = "never-returns"
    """A call only ends when the host interrupts it, by fuel or by time."""
    HOST_MUST_REFUSE = "host-must-refuse"
    """The engine lets it through: the host's own state has to stop it."""
    LEAK = "leak"
    """Calls succeed; buffers stay behind until the host takes them back."""
    HIDDEN = "hidden"
    """A few ordinary calls show nothing: it takes many, a host under pressure, or odd input."""
    ERROR = "error"
    """A call answers with an error its caller has to report, such as a port that does not exist."""


@dataclass(frozen=True, slots=True)
class Guest:
    """One component of the corpus."""

    name: str
    world: str
    does: str
    bodies: Mapping[str, str]
    module: str = ""
    settings: tuple[Setting, ...] = ()
    behaviour: Behaviour = Behaviour.WELL
    breaks: tuple[str, ...] = ()
    outcome: Outcome | None = None
    at: str = ""
    """The export in which a misbehaving guest misbehaves."""
    capabilities: tuple[str, ...] = field(default=())
    """What its manifest has to declare, in canonical form."""

    @property
    def role(self) -> str:
        """The role its world gives it."""
        return WORLDS[self.world].role

    @property
    def imports(self) -> tuple[str, ...]:
        """The interfaces it imports, by full name."""
        return imported_interfaces(self.world, self._bodies(), self._module())

    @property
    def exports(self) -> tuple[str, ...]:
        """The interfaces it exports, by full name."""
        return tuple(EXPORTED_INTERFACES[name].name for name in WORLDS[self.world].exports)

    def wat(self) -> str:
        """Return the component's text."""
        title = f"{self.name} ({self.world}): {self.does}"
        return component(self.world, self._bodies(), module=self._module(), title=title)

    def _bodies(self) -> dict[str, str]:
        reads_configuration = "lifecycle" in WORLDS[self.world].exports and "init" not in self.bodies
        return {"init": init_body(self.settings), **self.bodies} if reads_configuration else dict(self.bodies)

    def _module(self) -> str:
        return storage(self.settings) + self.module
