"""wasmtime's types as WIT text, and plain values into its shapes."""

import pytest
import wasmtime
import wasmtime.component as wc

from torvyn_ref.engine.imports import WitError
from torvyn_ref.engine.stock_types import Describer, Resources, TooLargeTypeError, lowering, returning

ENGINE = wasmtime.Engine()


def functions(declarations, *signatures):
    """Return the types of functions imported with these component signatures."""
    names = [f"f{index}" for index in range(len(signatures))]
    exported = "".join(f'(export "{name}" (func {signature}))' for name, signature in zip(names, signatures, strict=True))
    component = wc.Component(ENGINE, bytes(wasmtime.wat2wasm(f'(component (import "i" (instance {declarations} {exported})))')))
    items = component.type.imports(ENGINE)["i"].ty.exports(ENGINE)
    resources = Resources({"thing": 4, "other": 5})
    for name, item in items.items():
        if isinstance(item.ty, wc.ResourceType):
            resources.learn(name, item.ty)
    return [items[name].ty for name in names], resources


PRIMITIVES = ("bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string")


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_primitives_are_named_as_in_wit(primitive):
    (function,), resources = functions("", f'(param "x" {primitive}) (result (list {primitive}))')
    assert Describer(resources).function(function) == f"func(x: {primitive}) -> list<{primitive}>"


@pytest.mark.parametrize(
    ("declarations", "signature", "text"),
    [
        ("", "", "func()"),
        ("", "(result (option u8))", "func() -> option<u8>"),
        ("", "(result (result))", "func() -> result"),
        ("", "(result (result u8))", "func() -> result<u8>"),
        ("", "(result (result (error u8)))", "func() -> result<_, u8>"),
        ("", "(result (result u8 (error u16)))", "func() -> result<u8, u16>"),
        ("", "(result (tuple u8 string))", "func() -> tuple<u8, string>"),
        (
            '(type $r\' (record (field "a-b" u8) (field "c" u16))) (export "r" (type $r (eq $r\')))',
            "(result $r)",
            "func() -> record{a-b: u8, c: u16}",
        ),
        (
            '(type $v\' (variant (case "a") (case "b" u8))) (export "v" (type $v (eq $v\')))',
            "(result $v)",
            "func() -> variant{a, b(u8)}",
        ),
        ('(type $e\' (enum "a" "b")) (export "e" (type $e (eq $e\')))', "(result $e)", "func() -> enum{a, b}"),
        ('(type $f\' (flags "a" "b")) (export "f" (type $f (eq $f\')))', "(result $f)", "func() -> flags{a, b}"),
        ('(export "thing" (type $t (sub resource)))', '(param "t" (borrow $t)) (result (own $t))', "func(t: borrow<thing>) -> own<thing>"),
        ('(export "unknown" (type $t (sub resource)))', '(param "t" (borrow $t))', "func(t: borrow<?>)"),
        (
            '(export "thing" (type $t (sub resource))) (export "other" (type $o (sub resource)))',
            '(param "t" (borrow $o)) (result (own $t))',
            "func(t: borrow<other>) -> own<thing>",
        ),
    ],
)
def test_types_are_described_by_their_structure(declarations, signature, text):
    (function,), resources = functions(declarations, signature)
    assert Describer(resources).function(function) == text


def test_too_large_a_type_is_given_up():
    (function,), resources = functions("", f"(result (tuple{' u8' * 600}))")
    with pytest.raises(TooLargeTypeError):
        Describer(resources).function(function)


@pytest.mark.parametrize(("ty", "least_wrong"), [("u64", 1 << 64), ("u32", 1 << 32)])
def test_integers_out_of_range_are_refused_where_wasmtime_py_would_wrap(ty, least_wrong):
    (function,), resources = functions("", f"(result {ty})")
    lower = lowering(function.result, resources)
    assert lower(least_wrong - 1) == least_wrong - 1
    for wrong in (least_wrong, -1):
        with pytest.raises(OverflowError):
            lower(wrong)


def test_tuples_become_records_field_by_field():
    (function,), resources = functions(
        '(type $r\' (record (field "a-b" u64) (field "c" u32))) (export "r" (type $r (eq $r\')))', "(result $r)"
    )
    value = lowering(function.result, resources)((1, 2))
    assert vars(value) == {"a-b": 1, "c": 2}
    with pytest.raises(ValueError, match="argument"):
        lowering(function.result, resources)((1, 2, 3))


ERRORS = '(type $v\' (variant (case "a") (case "b"))) (export "v" (type $v (eq $v\')))'
STREAM_ERROR = (
    '(export "thing" (type $t (sub resource))) (type $v\' (variant (case "a" (own $t)) (case "b"))) (export "v" (type $v (eq $v\')))'
)


def test_results_are_tagged_only_where_their_cases_could_be_confused():
    (unit, number), resources = functions(STREAM_ERROR, "(result (result (error $v)))", "(result (result u64 (error $v)))")
    ok, err = returning(unit.result, resources)
    assert (ok(None).tag, ok(None).payload) == ("ok", None)
    assert (err(WitError("b")).tag, err(WitError("b")).payload) == ("err", None)
    assert err(WitError("a", 9)).payload.rep == 9
    ok, err = returning(number.result, resources)
    assert (ok(7), err(WitError("b"))) == (7, None)
    assert (err(WitError("a", 9)).rep, err(WitError("a", 9)).type) == (9, 4)
    (tagged,), resources = functions(ERRORS, "(result (result (error $v)))")
    ok, err = returning(tagged.result, resources)
    assert ok(None) is None
    assert err(WitError("a")).tag == "a"


def test_an_error_that_the_type_does_not_have_is_the_hosts_defect():
    (plain,), resources = functions("", "(result u64)")
    _, err = returning(plain.result, resources)
    with pytest.raises(WitError):
        err(WitError("a"))
