"""Writes Python that lifts and lowers values: the statements, as text, for one type at a time.

Values in Python: numbers and bools as such, char and string as str, list<u8> as bytes (from a guest, where the host function allows it, as
a memoryview that is valid during the call), other lists as lists, records and tuples as tuples, flags as a tuple of names, an enum as its
case's name, an option as None or the value, any other choice as (case, payload), a resource as its rep.

Generated source names: `mem` the guest memory, `r0..` resources, `place(alignment, size)` the next piece of memory that realloc gave, and
the handle table's `rep`, `lend`, `take`, `give` and `give_borrow`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torvyn_ref.engine.direct.errors import AbiTrap, HostValueError
from torvyn_ref.engine.direct.types import SCALARS, Choice, Flags, Handle, Record, Resource, Scalar, Sequence_, Text, Type

_SIZES = {code: size for size, _, code in SCALARS.values()}
_RANGES = {
    "bool": (0, 1),
    "u8": (0, 2**8 - 1),
    "u16": (0, 2**16 - 1),
    "u32": (0, 2**32 - 1),
    "u64": (0, 2**64 - 1),
    "s8": (-(2**7), 2**7 - 1),
    "s16": (-(2**15), 2**15 - 1),
    "s32": (-(2**31), 2**31 - 1),
    "s64": (-(2**63), 2**63 - 1),
}


def trap(message: str) -> None:
    """End the guest's call.

    Raises:
        AbiTrap: always.
    """
    raise AbiTrap(message)


def checked_char(value: int) -> str:
    """Return a guest's char.

    Raises:
        AbiTrap: a surrogate, or beyond Unicode.
    """
    if value >= 0x110000 or 0xD800 <= value < 0xE000:
        raise AbiTrap(f"invalid value {value} for `char`")
    return chr(value)


def out_of_range(value: object, what: str) -> None:
    """Refuse a host's value before the guest is entered.

    Raises:
        HostValueError: always.
    """
    raise HostValueError(f"{value!r} is not a {what}")


class Emitter:
    """Writes the source of one function, indented.

    Attributes:
        lines, helpers: what was written: the function's body, and functions that it needs beside it.
        names: what the source refers to by name.

    Args:
        resources: what `r0..` stand for.
        views: list<u8> is lifted as a view of guest memory.
        lends: lifted borrows are counted, because the same call may take ownership of the same handle.
    """

    def __init__(self, names: dict[str, Any], resources: Sequence[Resource], *, views: bool = False, lends: bool = False) -> None:
        self.lines: list[str] = []
        self.helpers: list[str] = []
        self.names = names
        self._resources = resources
        self._views = views
        self._borrow = "lend" if lends else "rep"
        self._short: str | None = None
        self._indent = 0
        self._count = 0

    def __call__(self, line: str) -> None:
        """Write one line."""
        self.lines.append("    " * self._indent + line)

    def __enter__(self) -> None:
        self._indent += 1

    def __exit__(self, *_: object) -> None:
        self._indent -= 1

    def fresh(self) -> str:
        """Return a local name not used before."""
        self._count += 1
        return f"v{self._count}"

    def structure(self, form: str) -> str:
        """Return the name of a precompiled struct."""
        name = f"S{len(self.names)}"
        self.names[name] = struct.Struct(form)
        return name

    def resource(self, resource: Resource) -> str:
        """Return the name of a resource type."""
        return f"r{self._resources.index(resource)}"

    def bounds(self, pointer: str, ty: Type, what: str) -> None:
        """Check that a guest pointer leads to a value; the call is for those that do not."""
        wrong = f"{pointer}+{ty.size}>mem.size" + (f" or {pointer}%{ty.alignment}" if ty.alignment > 1 else "")
        self(f"if {wrong}: mem.check({pointer},{ty.size},{ty.alignment},{what!r})")

    def short_piece(self, data: str) -> None:
        """From here on, lower the one string or list<u8> as bytes named `data` that the glue brings in: pointer to be filled in, length."""
        self._short = data

    # ---- lifting: guest to host

    def lift(self, ty: Type, flat: Iterator[str], *, narrow: bool = False) -> str:
        """Return an expression for a value passed flat; `narrow` when its parts were loaded from memory with their exact width."""
        if isinstance(ty, Record):
            return "(" + "".join(f"{self.lift(field, flat, narrow=narrow)}," for field in ty.fields) + ")"
        if isinstance(ty, Choice):
            return self._lift_choice(ty, [next(flat) for _ in ty.flat])
        first = next(flat)
        if isinstance(ty, Text):
            return f"mem.text_at({first},{next(flat)})"
        if isinstance(ty, Sequence_):
            if not ty.is_bytes:
                return f"{self._list_reader(ty)}(mem,{first},{next(flat)})"
            length = next(flat)
            view = f"(mem.view[{first}:{first}+{length}] if {first}+{length}<=mem.size else mem.bytes_at({first},{length}))"
            return view if self._views else f"bytes({view})"
        if isinstance(ty, Handle):
            resource = self.resource(ty.resource)
            if ty.owned or self._borrow == "lend":
                return f"{'take' if ty.owned else 'lend'}({first},{resource})"
            entry = self.fresh()  # `rep`, without the call, for a handle that is good
            self(f"{entry}=entries[{first}] if {first}<len(entries) else None")
            return f"({entry}[1] if {entry} is not None and {entry}[0] is {resource} else rep({first},{resource}))"
        if isinstance(ty, Flags):
            return f"tuple(n for i,n in enumerate({ty.names!r}) if {first}>>i&1)"
        assert isinstance(ty, Scalar)
        if ty.name == "bool":
            return f"({first}!=0)"
        if ty.name == "char":
            return f"checked_char({first})"
        if narrow or ty.name in {"u32", "u64", "f32", "f64"}:
            return first
        bits = 8 * ty.size
        mask = (1 << bits) - 1
        return f"({first}&{mask})" if ty.name.startswith("u") else f"((({first}&{mask})^{1 << (bits - 1)})-{1 << (bits - 1)})"

    def _lift_choice(self, ty: Choice, flat: list[str]) -> str:
        result = self.fresh()
        for number, case in enumerate(ty.cases):
            self(f"{'el' if number else ''}if {flat[0]}=={number}:")
            with self:
                payload = None
                if case.payload is not None:
                    joined = zip(flat[1:], case.payload.flat, ty.flat[1:], strict=False)
                    payload = self.lift(case.payload, iter([f"({x}&0xffffffff)" if own != join else x for x, own, join in joined]))
                self(f"{result}={_case_value(ty, number, payload)}")
        self(f"else: trap('discriminant %d out of range [0..{len(ty.cases)})'%{flat[0]})")
        return result

    def load(self, ty: Type, pointer: str, offset: int) -> str:
        """Return an expression for a value in guest memory (bounds and alignment checked before)."""
        if ty.is_fixed:
            leaves: list[tuple[int, str]] = []
            _leaves(ty, 0, leaves)
            names = [self.fresh() for _ in leaves]
            if names:
                self(f"{','.join(names)}, = {self.structure(_packed(leaves))}.unpack_from(mem.view,{pointer}+{offset})")
            return self.lift(ty, iter(names), narrow=True)
        if isinstance(ty, Record):
            fields = [self.load(field, pointer, offset + at) for field, at in zip(ty.fields, ty.offsets, strict=True)]
            return "(" + "".join(f"{field}," for field in fields) + ")"
        assert isinstance(ty, Choice)
        result, tag = self.fresh(), self.fresh()
        self(f"{tag}=mem.view[{pointer}+{offset}]")
        for number, case in enumerate(ty.cases):
            self(f"{'el' if number else ''}if {tag}=={number}:")
            with self:
                payload = None if case.payload is None else self.load(case.payload, pointer, offset + ty.payload_offset)
                self(f"{result}={_case_value(ty, number, payload)}")
        self(f"else: trap('discriminant %d out of range [0..{len(ty.cases)})'%{tag})")
        return result

    def _list_reader(self, ty: Sequence_) -> str:
        element = ty.element

        def body(inner: Emitter) -> None:
            inner(f"mem.check(p,n*{element.size},{element.alignment},'list')")
            inner("out=[]")
            inner(f"for q in range(p,p+n*{element.size},{element.size}):")
            with inner:
                inner(f"out.append({inner.load(element, 'q', 0)})")
            inner("return out")

        return self._helper("mem,p,n", body)

    # ---- lowering: host to guest

    def check(self, ty: Type, value: str) -> None:
        """Check a host's value as far as its type can tell, before the guest is entered."""
        if isinstance(ty, Scalar) and ty.name in _RANGES:
            low, high = _RANGES[ty.name]
            self(f"if not {low}<={value}<={high}: out_of_range({value},'{ty.name}')")
        elif isinstance(ty, Record):
            for position, field in enumerate(ty.fields):
                self.check(field, f"{value}[{position}]")
        elif isinstance(ty, Choice) and ty.kind == "enum":
            self(f"if {value} not in {tuple(case.name for case in ty.cases)!r}: out_of_range({value},{str(ty)!r})")

    def sizes(self, ty: Type, value: str) -> None:
        """Append (alignment, size) to `wanted` for every realloc that lowering the value takes, in lowering order."""
        if not ty.allocates:
            return
        if isinstance(ty, Text):
            self(f"wanted.append((1,len({value}.encode())))")
        elif isinstance(ty, Sequence_):
            self(f"wanted.append(({ty.element.alignment},{ty.element.size}*len({value})))")
            if ty.element.allocates:
                item = self.fresh()
                self(f"for {item} in {value}:")
                with self:
                    self.sizes(ty.element, item)
        elif isinstance(ty, Record):
            for position, field in enumerate(ty.fields):
                self.sizes(field, f"{value}[{position}]")
        elif isinstance(ty, Choice):
            payload = self._each_case(ty, value)
            for number, case in enumerate(ty.cases):
                self(payload[number])
                with self:
                    self("pass")
                    if case.payload is not None:
                        self.sizes(case.payload, payload[-1])

    def lower(self, ty: Type, value: str) -> list[str]:
        """Return expressions for a value passed flat; memory that it takes comes from `place(alignment, size)`."""
        if isinstance(ty, Record):
            names = [self.fresh() for _ in ty.fields]
            if names:
                self(f"{','.join(names)}, = {value}")
            return [flat for field, name in zip(ty.fields, names, strict=True) for flat in self.lower(field, name)]
        if isinstance(ty, Choice):
            out = [self.fresh() for _ in ty.flat]
            payload = self._each_case(ty, value)
            for number, case in enumerate(ty.cases):
                self(payload[number])
                with self:
                    flat = [] if case.payload is None else self.lower(case.payload, payload[-1])
                    self(f"{','.join(out)}, = {','.join([str(number), *flat, *['0'] * (len(out) - 1 - len(flat))])},")
            self(f"else: out_of_range({value},{str(ty)!r})")
            return out
        if isinstance(ty, Text | Sequence_):
            if self._short is not None:
                return ["0", f"len({self._short})"]
            data, pointer = self.fresh(), self.fresh()
            self(f"{data}={value}.encode()" if isinstance(ty, Text) else f"{data}={value}")
            if isinstance(ty, Sequence_) and not ty.is_bytes:
                self(f"{pointer}=place({ty.element.alignment},{ty.element.size}*len({data}))")
                self(f"{self._list_writer(ty)}(mem,place,{pointer},{data})")
            else:
                self(f"{pointer}=place(1,len({data}))")
                self(f"mem.view[{pointer}:{pointer}+len({data})]={data}")
            return [pointer, f"len({data})"]
        if isinstance(ty, Handle):
            name = self.resource(ty.resource)
            if not ty.owned and ty.resource.is_own:
                return [value]  # a component gets borrows of its own resources as their reps
            return [f"{'give' if ty.owned else 'give_borrow'}({value},{name})"]
        if isinstance(ty, Flags):
            return [f"sum(1<<i for i,n in enumerate({ty.names!r}) if n in {value})"]
        assert isinstance(ty, Scalar)
        if ty.name == "bool":
            return [f"(1 if {value} else 0)"]
        if ty.name == "char":
            return [f"ord({value})"]
        return [f"({value}&{(1 << (64 if ty.name == 's64' else 32)) - 1})" if ty.name.startswith("s") else value]

    def store(self, ty: Type, value: str, pointer: str, offset: int) -> None:
        """Write a value to guest memory."""
        if ty.is_fixed and not ty.allocates:
            leaves: list[tuple[int, str]] = []
            _leaves(ty, 0, leaves)
            flat = self.lower(ty, value)
            if flat:
                unsigned = [(at, code.upper() if code in "bhiq" else code) for at, code in leaves]
                self(f"{self.structure(_packed(unsigned))}.pack_into(mem.view,{pointer}+{offset},{','.join(_narrowed(leaves, flat))})")
        elif isinstance(ty, Text | Sequence_):
            self(f"{self.structure('<II')}.pack_into(mem.view,{pointer}+{offset},{','.join(self.lower(ty, value))})")
        elif isinstance(ty, Record):
            names = [self.fresh() for _ in ty.fields]
            self(f"{','.join(names)}, = {value}")
            for field, name, at in zip(ty.fields, names, ty.offsets, strict=True):
                self.store(field, name, pointer, offset + at)
        else:
            assert isinstance(ty, Choice)
            payload = self._each_case(ty, value)
            for number, case in enumerate(ty.cases):
                self(payload[number])
                with self:
                    self(f"mem.view[{pointer}+{offset}]={number}")
                    if case.payload is not None:
                        self.store(case.payload, payload[-1], pointer, offset + ty.payload_offset)
            self(f"else: out_of_range({value},{str(ty)!r})")

    def _each_case(self, ty: Choice, value: str) -> list[str]:
        """Return the condition line of every case, then the expression of the payload."""
        if ty.kind == "option":
            kept = self.fresh()
            self(f"{kept}={value}")
            return [f"if {kept} is None:", f"elif {kept} is not None:", kept]
        tag, payload = self.fresh(), self.fresh()
        self(f"{tag}={value}" if ty.kind == "enum" else f"{tag},{payload}={value}")
        return [*(f"{'el' if number else ''}if {tag}=={case.name!r}:" for number, case in enumerate(ty.cases)), payload]

    def _list_writer(self, ty: Sequence_) -> str:
        def body(inner: Emitter) -> None:
            inner("for x in xs:")
            with inner:
                inner.store(ty.element, "x", "p", 0)
                inner(f"p+={ty.element.size}")

        return self._helper("mem,place,p,xs", body)

    def _helper(self, signature: str, body: Callable[[Emitter], None]) -> str:
        """Define a function beside this one, inside the bound scope, and return its name."""
        name = f"h{len(self.names)}"
        self.names[name] = None  # taken; the bound scope defines it
        inner = Emitter(self.names, self._resources, views=self._views, lends=self._borrow == "lend")
        body(inner)
        self.helpers += [*inner.helpers, f"def {name}({signature}):", *(f"    {line}" for line in inner.lines)]
        return name


def _case_value(ty: Choice, number: int, payload: str | None) -> str:
    if ty.kind == "enum":
        return repr(ty.cases[number].name)
    if ty.kind == "option":
        return payload or "None"
    return f"({ty.cases[number].name!r},{payload})"


def _leaves(ty: Type, offset: int, out: list[tuple[int, str]]) -> None:
    """Append the (offset, struct code) of every part of a fixed type."""
    if isinstance(ty, Record):
        for field, at in zip(ty.fields, ty.offsets, strict=True):
            _leaves(field, offset + at, out)
    elif isinstance(ty, Text | Sequence_):
        out += [(offset, "I"), (offset + 4, "I")]
    elif isinstance(ty, Scalar | Flags):
        out.append((offset, ty.code))
    else:
        out.append((offset, "I"))


def _packed(leaves: list[tuple[int, str]]) -> str:
    """Return the struct format of such parts."""
    form, at = "<", 0
    for offset, code in leaves:
        form += "x" * (offset - at) + code
        at = offset + struct.calcsize(f"<{code}")
    return form


def _narrowed(leaves: list[tuple[int, str]], flat: list[str]) -> list[str]:
    """Return the flat expressions cut to the width of their places: lowered signed numbers come as unsigned 32 or 64 bits."""
    return [f"{value}&{(1 << (8 * _SIZES[code])) - 1}" if code in "bhiq" else value for (_, code), value in zip(leaves, flat, strict=True)]
