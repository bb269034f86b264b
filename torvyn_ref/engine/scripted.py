"""Components written in Python: for simulation, for tests, and for measuring the runtime without Wasm.

A scripted component is any object with the methods of its role; each gets a `Guest`, through which it does what a Wasm guest does through
its imports, with the same checks and the same accounting. It may raise `Trap` to die, or return a `Failure` to fail.
"""

from __future__ import annotations

from typing import Any

from torvyn_ref.calls import Answer, Call, Cause, Element, ErrorKind, Failure, Output, Role, Signal
from torvyn_ref.clock import Clock
from torvyn_ref.engine.protocol import Sandbox
from torvyn_ref.errors import TorvynError
from torvyn_ref.ids import Handle
from torvyn_ref.resources import ResourceError


class Trap(Exception):  # what Wasm calls it
    """A scripted guest dies, as at `unreachable`."""


class Interrupted(Exception):  # what an engine calls it
    """A scripted guest was interrupted in the middle of a call, because it had reached its bound (ERR-008, CANCEL-003)."""


class Guest:
    """What a scripted component can reach: its own buffers, the element that it was lent, and the clock's hand in simulations.

    Buffers are named by handle. Methods raise `ResourceError` for what a WIT guest would get as `buffer-error`.
    """

    __slots__ = ("_sandbox", "clock", "flow", "owner", "resources")

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.resources = sandbox.resources
        self.owner = sandbox.owner
        self.flow = sandbox.flow
        self.clock: Clock = sandbox.clock

    def allocate(self, capacity: int) -> Handle:
        """Allocate a mutable buffer of at least `capacity` bytes."""
        return self.resources.allocate(self.owner, capacity, self.flow)

    def append(self, handle: Handle, data: bytes) -> None:
        """Append bytes to a mutable buffer."""
        self.resources.append(handle, self.owner, data)

    def freeze(self, handle: Handle) -> Handle:
        """Make a buffer immutable, ready to be returned."""
        self.resources.freeze(handle, self.owner)
        return handle

    def drop(self, handle: Handle) -> None:
        """Release a buffer that the component owns."""
        self.resources.release(handle, self.owner)

    def read(self, element: Element) -> bytes:
        """Return a lent element's payload."""
        return self.resources.read(element.handle, self.owner)

    def emit(self, data: bytes, content_type: str = "") -> Output:
        """Make a new element of `data`: allocate, append, freeze."""
        resources, owner = self.resources, self.owner
        handle = resources.allocate(owner, len(data), self.flow)
        resources.write(handle, owner, 0, data)
        if content_type:
            resources.set_content_type(handle, owner, content_type)
        resources.freeze(handle, owner)
        return Output(handle, content_type)

    def clone(self, element: Element) -> Output:
        """Make a new element with the same bytes as a lent one: clone-into-mutable, freeze."""
        handle = self.resources.clone(element.handle, self.owner, self.flow)
        self.resources.freeze(handle, self.owner)
        return Output(handle, element.content_type)


_DEAD = Failure(ErrorKind.FATAL, "the instance is dead", Cause.TRAP, poisoned=True)


class ScriptedInstance:
    """One scripted component in its sandbox."""

    def __init__(self, component: Any, role: Role, sandbox: Sandbox) -> None:
        self._component = component
        self._role = role
        self._guest = Guest(sandbox)
        self._dead = False
        self._methods: dict[Call, Any] = {
            call: method for call in Call if (method := getattr(component, call.replace("-", "_"), None)) is not None
        }

    @property
    def role(self) -> Role:
        """Return the component's role."""
        return self._role

    @property
    def has_lifecycle(self) -> bool:
        """Tell whether the component has an `init`."""
        return Call.INIT in self._methods

    @property
    def fuel_used(self) -> int:
        """Return 0: Python is not metered."""
        return 0

    def call(self, call: Call, argument: Element | Signal | str | None = None) -> Answer:
        """Make one call (see `Instance.call`)."""
        if self._dead:
            return _DEAD
        method = self._methods.get(call)
        if method is None:
            return self._default(call)
        try:
            answer: Answer = method(self._guest) if argument is None else method(self._guest, argument)
        except Trap as trap:
            self._dead = True
            return Failure(ErrorKind.FATAL, str(trap) or "trap", Cause.TRAP, poisoned=True)
        except Interrupted as interrupted:
            self._dead = True
            return Failure(ErrorKind.DEADLINE_EXCEEDED, str(interrupted), Cause.TIMEOUT, poisoned=True)
        except ResourceError as error:
            return Failure(ErrorKind.INTERNAL, error.message)
        except TorvynError as error:
            self._dead = True
            return Failure(ErrorKind.INTERNAL, error.message, Cause.ENGINE, poisoned=True)
        if isinstance(answer, Failure) and answer.poisoned:
            self._dead = True
        return answer

    def close(self) -> None:
        """Drop the component."""
        self._dead = True

    def _default(self, call: Call) -> Answer:
        """Answer for a method that the component left out: what a guest with an empty body would."""
        return [] if call is Call.FLUSH else None
