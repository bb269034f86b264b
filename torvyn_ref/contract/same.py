"""When two WIT types are the same, packages' versions left aside: the versions are what is being compared."""

from __future__ import annotations

from torvyn_ref.contract.wit import Borrow, ListOf, Named, OptionOf, Own, Primitive, ResultOf, TupleOf, Type


def same(old: Type, new: Type) -> bool:
    """Tell whether two types are the same by structure and by the names of what they mention."""
    match old, new:
        case Primitive(), Primitive():
            return old is new
        case Named(), Named():
            return same_named(old, new)
        case (Own(one), Own(other)) | (Borrow(one), Borrow(other)):
            return same_named(one, other)
        case (ListOf(element), ListOf(other_element)) | (OptionOf(element), OptionOf(other_element)):
            return same(element, other_element)
        case ResultOf(ok, error), ResultOf(other_ok, other_error):
            return same_optional(ok, other_ok) and same_optional(error, other_error)
        case TupleOf(items), TupleOf(others):
            return len(items) == len(others) and all(map(same, items, others))
        case _:
            return False


def same_optional(old: Type | None, new: Type | None) -> bool:
    """Compare types that may be absent."""
    return old is new if old is None or new is None else same(old, new)


def same_named(old: Named, new: Named) -> bool:
    """Compare defined types by where they are defined."""
    return old.name == new.name and old.interface.unversioned == new.interface.unversioned


def owning(kind: Type) -> Type:
    """Return a type with every lent handle handed over, to tell a change of ownership from any other."""
    match kind:
        case Borrow(resource):
            return Own(resource)
        case ListOf(element):
            return ListOf(owning(element))
        case OptionOf(element):
            return OptionOf(owning(element))
        case ResultOf(ok, error):
            return ResultOf(None if ok is None else owning(ok), None if error is None else owning(error))
        case TupleOf(items):
            return TupleOf(tuple(map(owning, items)))
        case _:
            return kind
