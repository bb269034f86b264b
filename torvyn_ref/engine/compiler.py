"""Bytes into wasmtime's components and modules, each once: from memory, from the compile cache, else by compiling.

An entry of the cache is named after everything that its content depends on: component or module, the SHA-256 of the bytes, wasmtime's
release, and what wasmtime itself writes into every artifact about target, processor and configuration (an empty module is asked for it).
Wasmtime checks the latter again when it reads an artifact; of its own release it checks only the major number, and code of a release
that was mended must not outlive the upgrade.

A stored component is also wasmtime's verdict that its bytes are valid, so neither is validation repeated.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from typing import Final, Generic, Protocol, TypeVar

import wasmtime
from wasmtime import WasmtimeError
from wasmtime.component import Component

from torvyn_ref.engine.compilecache import CompileCache

MEMO_BYTES: Final = 128 * 1024 * 1024
"""What one engine keeps in memory of each kind, by the estimate below; the one used last is kept whatever its size."""

_FLAT: Final = 64 * 1024
_PER_BYTE: Final = 4
"""What machine code takes, to about: so much for any, and so many bytes per byte of wasm."""

_EMPTY_MODULE: Final = b"\0asm\x01\0\0\0"


class _Artifact(Protocol):
    def serialize(self) -> bytearray: ...


T = TypeVar("T", bound=_Artifact)


class Compiler:
    """Compiles for one engine, in one thread.

    Args:
        engine: its configuration is final when the first thing is compiled.
        cache: what keeps compiled code between runs; None keeps it for this engine's life alone.
        memo_bytes: see `MEMO_BYTES`.
    """

    def __init__(self, engine: wasmtime.Engine, cache: CompileCache | None = None, *, memo_bytes: int = MEMO_BYTES) -> None:
        self._engine = engine
        self._cache = cache
        self._components = _Memo[Component](memo_bytes)
        self._modules = _Memo[wasmtime.Module](memo_bytes)

    def component(self, wasm: bytes) -> Component:
        """Return a component, validated and compiled.

        Raises:
            WasmtimeError: it is not valid.
        """
        return self._made("component", wasm, self._components, Component, Component.deserialize)

    def module(self, wasm: bytes) -> wasmtime.Module:
        """Return a core module, from a binary or from text.

        Raises:
            WasmtimeError: it is not valid.
        """
        return self._made("module", wasm, self._modules, wasmtime.Module, wasmtime.Module.deserialize)

    def forget(self) -> None:
        """Let go of what is in memory."""
        self._components.clear()
        self._modules.clear()

    def _made(
        self,
        kind: str,
        wasm: bytes,
        memo: _Memo[T],
        compile_: Callable[[wasmtime.Engine, bytes], T],
        restore: Callable[[wasmtime.Engine, bytes], T],
    ) -> T:
        digest = sha256(wasm).hexdigest()
        made = memo.get(digest)
        if made is None:
            if self._cache is None:
                made = compile_(self._engine, wasm)
            else:
                name = sha256(f"{kind} {digest} {self._fingerprint}".encode()).hexdigest()
                made = self._restored(self._cache, name, restore)
                if made is None:
                    made = compile_(self._engine, wasm)
                    self._cache.store(name, made.serialize())
            memo.put(digest, made, _FLAT + _PER_BYTE * len(wasm))
        return made

    def _restored(self, cache: CompileCache, name: str, restore: Callable[[wasmtime.Engine, bytes], T]) -> T | None:
        artifact = cache.load(name)
        if artifact is None:
            return None
        try:
            return restore(self._engine, artifact)
        except WasmtimeError as error:
            cache.reject(name, f"was refused by wasmtime ({error})")
            return None

    @cached_property
    def _fingerprint(self) -> str:
        """What compiled code depends on besides the wasm."""
        code = sha256(version("wasmtime").encode() + b"\n")
        code.update(wasmtime.Module(self._engine, _EMPTY_MODULE).serialize())
        return code.hexdigest()


class _Memo(Generic[T]):
    """The things used last, up to a weight."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._weight = 0
        self._things: OrderedDict[str, tuple[T, int]] = OrderedDict()

    def get(self, key: str) -> T | None:
        found = self._things.get(key)
        if found is None:
            return None
        self._things.move_to_end(key)
        return found[0]

    def put(self, key: str, thing: T, weight: int) -> None:
        self._things[key] = (thing, weight)
        self._weight += weight
        while self._weight > self._most and len(self._things) > 1:
            _, (_, freed) = self._things.popitem(last=False)
            self._weight -= freed

    def clear(self) -> None:
        self._things.clear()
        self._weight = 0
