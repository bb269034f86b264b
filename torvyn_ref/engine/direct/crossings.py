"""Everything that crosses the border between guest and host: lifted functions, lowered ones and resource built-ins, glued in batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import wasmtime

from torvyn_ref.engine.direct.codegen import Bind, is_bytes, lifted, lowered, short_piece
from torvyn_ref.engine.direct.definitions import Lift, Lower, Options
from torvyn_ref.engine.direct.errors import Unsupported
from torvyn_ref.engine.direct.fetch import is_fetched
from torvyn_ref.engine.direct.glue import GlueFunction, module_text
from torvyn_ref.engine.direct.plan import CoreValue, Crossing, Glued, GuestFunction, HostFunction, Item, MakeGlue, Plan
from torvyn_ref.engine.direct.scope import Scope, Unimplemented
from torvyn_ref.engine.direct.types import Function, Resource

MOST_FUNCTIONS = 4096
"""Lifted and lowered functions and built-ins of one component."""
MOST_EXTENT = 1 << 19
"""Of their types together (`Type.extent`): what code is generated for."""
_PAGE = 65536


class Crossings:
    """The crossings of one plan. Glue is made when a core module needs it, for all that came before."""

    def __init__(self, plan: Plan, compile_module: Callable[[bytes], wasmtime.Module]) -> None:
        self._plan = plan
        self._compile_module = compile_module
        self._waiting: list[Crossing] = []
        self._extent = 0

    def lift(self, definition: Lift, scope: Scope) -> GuestFunction:
        """Plan a call into the guest.

        Raises:
            Unsupported: not implemented.
        """
        function = self._function(scope.get("type", definition.type))
        options = definition.options
        memory, realloc = _memory(options, scope), _core(options.realloc, scope)
        post_return = _core(options.post_return, scope)
        result = function.result
        allocates = function.parameters_in_memory or any(ty.allocates for ty in function.parameters)
        if allocates and realloc is None:
            raise Unsupported("a lift without realloc of a function that needs one")
        piece = short_piece(function)
        crossing = Crossing(
            glue=GlueFunction(
                number=self._number(),
                is_export=True,
                parameters=function.flat_parameters,
                result=None if result is None else "i32" if function.result_in_memory else result.flat[0],
                memory=None,
                realloc=None,
                allocates=allocates,
                piece=-1 if piece is None else piece[1],
                has_post_return=post_return is not None,
                fetches=result if post_return is not None and is_fetched(function) else None,
            ),
            bind=_lifted(_Signature.of(function), memory is not None, post_return is not None),
            resources=function.resources,
            memory=memory,
            realloc=realloc if allocates else None,
            target=_core(definition.function, scope),
            post_return=post_return,
        )
        self._waiting.append(crossing)
        return GuestFunction(crossing.glue.number, function)

    def lower(self, definition: Lower, scope: Scope) -> Glued:
        """Plan a call out of the guest.

        Raises:
            Unsupported: not implemented.
        """
        host = scope.get("func", definition.function)
        if not isinstance(host, HostFunction):
            raise Unsupported("a call from component to component")
        function, options = self._function(host.type), definition.options
        memory, realloc = _memory(options, scope), _core(options.realloc, scope)
        result = function.result
        allocates = result is not None and result.allocates
        if allocates and realloc is None:
            raise Unsupported("a lower without realloc of a function that needs one")
        parameters = function.flat_parameters + (("i32",) if function.result_in_memory else ())
        crossing = Crossing(
            glue=GlueFunction(
                number=self._number(),
                is_export=False,
                parameters=parameters,
                result=None if result is None or function.result_in_memory else result.flat[0],
                memory=None,
                realloc=None,
                allocates=allocates,
                piece=len(parameters) - 1 if is_bytes(result) else -1,
            ),
            bind=_lowered(_Signature.of(function), memory is not None, takes_views(host)),
            resources=function.resources,
            memory=memory,
            realloc=realloc if allocates else None,
            host=host,
        )
        self._waiting.append(crossing)
        return Glued(crossing.glue.number)

    def builtin(self, operation: str, resource: Any) -> Glued:
        """Plan resource.new, resource.rep or resource.drop.

        Raises:
            Unsupported: not implemented.
        """
        if not isinstance(resource, Resource):
            raise Unsupported(f"resource.{operation} of what is no resource")
        result = None if operation == "drop" else "i32"
        glue = GlueFunction(
            self._number(),
            is_export=False,
            parameters=("i32",),
            result=result,
            memory=None,
            realloc=None,
            allocates=False,
            leaves=operation != "rep",
            drops=resource.lent_tag if operation == "drop" else 0,
        )
        self._waiting.append(Crossing(glue=glue, bind=None, resources=(), host=(operation, resource)))
        return Glued(glue.number)

    def make_glue(self) -> None:
        """Make one glue module for all crossings that wait."""
        if not self._waiting:
            return
        memories: list[CoreValue] = []
        reallocs: list[CoreValue] = []

        def place(value: CoreValue | None, seen: list[CoreValue]) -> int | None:
            if value is None:
                return None
            if value not in seen:
                seen.append(value)
            return seen.index(value)

        crossings = tuple(self._waiting)
        self._waiting = []
        for crossing in crossings:
            crossing.glue = crossing.glue._replace(memory=place(crossing.memory, memories), realloc=place(crossing.realloc, reallocs))
        imports = [*memories, *reallocs]
        for crossing in crossings:
            imports += [value for value in (crossing.target, crossing.post_return) if value is not None]
        text = module_text(tuple(crossing.glue for crossing in crossings), len(memories), len(reallocs))
        self._plan.steps.append(MakeGlue(self._compile_module(text.encode()), crossings, tuple(imports)))

    def _function(self, function: Any) -> Function:
        if isinstance(function, Unimplemented):
            raise Unsupported(function.reason)
        if not isinstance(function, Function):
            raise Unsupported("a lift or lower whose type is no function type")
        self._extent += function.extent
        if self._extent > MOST_EXTENT:
            raise Unsupported(f"functions across the component's border whose types have more than {MOST_EXTENT} characters")
        return function

    def _number(self) -> int:
        number = self._plan.crossings
        if number >= MOST_FUNCTIONS:
            raise Unsupported(f"more than {MOST_FUNCTIONS} functions across the component's border")
        self._plan.crossings = number + 1
        return number


def takes_views(host: HostFunction) -> bool:
    """Tell whether a host function takes bytes as a view of guest memory: those that copy them into a buffer at once."""
    return host.interface.partition("@")[0] == "torvyn:streaming/types"


def drops_quietly(interface: str) -> bool:
    """Tell whether dropping an owned resource of an interface can wait for the next crossing: its destructor refuses nobody."""
    return interface.partition("@")[0] == "torvyn:streaming/types"


def _core(index: int | None, scope: Scope) -> CoreValue | None:
    if index is None:
        return None
    value: CoreValue = scope.get("core func", index)
    return value


def _memory(options: Options, scope: Scope) -> CoreValue | None:
    if options.memory is None:
        return None
    memory: Item = scope.get("core memory", options.memory)
    ty = memory.type
    assert isinstance(ty, wasmtime.MemoryType), "a scope holds memories only under their sort"
    if ty.is_64 or ty.is_shared or ty.page_size != _PAGE:
        raise Unsupported("a memory that is 64-bit, shared or of another page size")
    return memory


class _Signature(NamedTuple):
    """A function's type as a key for generated code: its text, and which of its resources are the same."""

    text: str
    pattern: tuple[tuple[int, bool], ...]
    function: _Opaque

    @classmethod
    def of(cls, function: Function) -> _Signature:
        distinct = function.resources
        return cls(str(function), tuple((distinct.index(one), one.is_own) for one in function.occurrences), _Opaque(function))


class _Opaque:
    """Carries a function's type through a cache without taking part in the key."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Opaque)

    def __hash__(self) -> int:
        return 0


@lru_cache(512)
def _lowered(signature: _Signature, has_memory: bool, views: bool) -> Bind:  # noqa: FBT001  # part of the cache's key
    return lowered(signature.function.function, has_memory=has_memory, views=views)


@lru_cache(512)
def _lifted(signature: _Signature, has_memory: bool, has_post_return: bool) -> Bind:  # noqa: FBT001  # as above
    return lifted(signature.function.function, has_memory=has_memory, has_post_return=has_post_return)
