"""Shapes of components beyond the corpus: what toolchains make, what own resources do, and what is refused before anything runs."""

import pytest
import wasmtime
from wasmtime import component as wc

from tests.torvyn_ref.engine.direct import abi
from torvyn_ref.engine.direct.bound import MOST_DESTRUCTORS
from torvyn_ref.engine.direct.errors import AbiTrap, HostValueError, Unsupported
from torvyn_ref.engine.direct.glue import MOST_SHORT
from torvyn_ref.engine.direct.planner import MOST_DEFINITIONS, Planner
from torvyn_ref.engine.direct.reader import read
from torvyn_ref.engine.imports import WitError

MEMORY = """
  (core module $Libc (memory (export "memory") 1) (global $top (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.sub (local.get 2) (i32.const 1))) (i32.sub (i32.const 0) (local.get 2))))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $libc (instantiate $Libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))"""


@pytest.fixture(scope="module")
def wasm():
    return wasmtime.Engine()


@pytest.fixture
def directly(wasm):
    made = []

    def instantiate(text, host=None, **options):
        store, bound = abi.directly(wasm, bytes(wasmtime.wat2wasm(text)), host or {}, **options)
        made.append((store, bound))
        return bound.calls["api"]

    yield instantiate
    for store, bound in made:
        bound.release()
        store.close()


# ---- what toolchains make


def test_a_component_with_a_shim_and_a_fixup_runs(directly):
    """wit-component's form: imports need the memory of a module that needs the imports, so calls go through a table filled in last."""
    heard = []
    api = directly(
        """(component
      (import "host" (instance $host (export "say" (func (param "text" string) (result string)))))
      (core module $Shim (type $t (func (param i32 i32 i32)))
        (table (export "$imports") 1 1 funcref)
        (func (export "0") (type $t) (call_indirect (type $t) (local.get 0) (local.get 1) (local.get 2) (i32.const 0))))
      (core module $Main
        (import "host" "say" (func $say (param i32 i32 i32)))
        (memory (export "memory") 3) (global $top (mut i32) (i32.const 1024))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
          (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 3))))
        (func (export "f") (param i32 i32) (result i32) (call $say (local.get 0) (local.get 1) (i32.const 8)) (i32.const 8))
        (func (export "cabi_post_f") (param i32) (global.set $top (i32.const 1024))))
      (core module $Fixup (import "" "$imports" (table 1 1 funcref)) (import "" "0" (func $0 (param i32 i32 i32)))
        (elem (i32.const 0) func $0))
      (core instance $shim (instantiate $Shim))
      (alias core export $shim "0" (core func $indirect))
      (core instance $main (instantiate $Main (with "host" (instance (export "say" (func $indirect))))))
      (alias core export $main "memory" (core memory $memory)) (alias core export $main "cabi_realloc" (core func $realloc))
      (alias core export $shim "$imports" (core table $table))
      (alias export $host "say" (func $say)) (core func $lowered (canon lower (func $say) (memory $memory) (realloc $realloc)))
      (core instance (instantiate $Fixup (with "" (instance (export "$imports" (table $table)) (export "0" (func $lowered))))))
      (alias core export $main "f" (core func $f)) (alias core export $main "cabi_post_f" (core func $post))
      (func $lifted (param "text" string) (result string)
        (canon lift (core func $f) (memory $memory) (realloc $realloc) (post-return $post)))
      (component $Names (import "f" (func $f (param "text" string) (result string))) (export "f" (func $f)))
      (instance $api (instantiate $Names (with "f" (func $lifted))))
      (export "api" (instance $api)))""",
        {"say": lambda text: heard.append(text) or f"{text}, too"},
    )
    for size in (0, 3, MOST_SHORT, MOST_SHORT + 1, 40_000):
        assert api["f"]("x" * size) == "x" * size + ", too"
        assert heard.pop() == "x" * size


def test_two_memories_are_kept_apart(directly):
    module = """(core module ${0} (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const {1}))
        (func (export "f") (param i32 i32) (result i32)
          (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0)))
      (core instance $i{0} (instantiate ${0}))
      (alias core export $i{0} "memory" (core memory $m{0})) (alias core export $i{0} "realloc" (core func $r{0}))
      (alias core export $i{0} "f" (core func $c{0}))
      (func $f{0} (param "x" string) (result string) (canon lift (core func $c{0}) (memory $m{0}) (realloc $r{0})))"""
    api = directly(
        f"""(component {module.format("a", 100)} {module.format("b", 60_000)}
      (instance $api (export "a" (func $fa)) (export "b" (func $fb))) (export "api" (instance $api)))"""
    )
    assert [api["a"]("one"), api["b"]("two"), api["a"]("three")] == ["one", "two", "three"]


def test_memory_that_moves_when_it_grows_is_found_again(directly):
    api = directly(
        f"""(component {MEMORY.replace("(local.get $at)))", "(drop (memory.grow (i32.const 40))) (local.get $at)))")}
      (core module $Main (import "l" "memory" (memory 1))
        (func (export "f") (param i32 i32) (result i32)
          (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1))
          (drop (memory.grow (i32.const 40))) (i32.const 0)))
      (core instance $main (instantiate $Main (with "l" (instance $libc)))) (alias core export $main "f" (core func $f))
      (func $lifted (param "x" (list u32)) (result (list u32)) (canon lift (core func $f) (memory $memory) (realloc $realloc)))
      (instance $api (export "f" (func $lifted))) (export "api" (instance $api)))"""
    )
    for number in range(4):
        assert api["f"](list(range(number * 100))) == list(range(number * 100))


def test_as_many_pieces_of_memory_as_a_value_takes(directly):
    """More than fit into one round of reallocs."""
    api = directly(
        f"""(component {MEMORY}
      (core module $Main (import "l" "memory" (memory 1))
        (func (export "f") (param i32 i32) (result i32)
          (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0)))
      (core instance $main (instantiate $Main (with "l" (instance $libc)))) (alias core export $main "f" (core func $f))
      (func $lifted (param "x" (list string)) (result (list string)) (canon lift (core func $f) (memory $memory) (realloc $realloc)))
      (instance $api (export "f" (func $lifted))) (export "api" (instance $api)))"""
    )
    for count in (0, 1, 62, 63, 64, 65, 127, 128, 129, 500):
        texts = [str(number) for number in range(count)]
        assert api["f"](texts) == texts


@pytest.mark.parametrize("value", [256, -1, 2**40])
def test_a_number_that_the_type_does_not_have_is_refused_before_the_guest_is_entered(directly, value):
    entered = []
    api = directly(
        """(component (import "host" (instance $host (export "note" (func))))
      (alias export $host "note" (func $note)) (core func $lowered (canon lower (func $note)))
      (core module $Main (import "h" "note" (func $note)) (func (export "f") (param i32) (call $note)))
      (core instance $main (instantiate $Main (with "h" (instance (export "note" (func $lowered))))))
      (alias core export $main "f" (core func $f)) (func $lifted (param "x" u8) (canon lift (core func $f)))
      (instance $api (export "f" (func $lifted))) (export "api" (instance $api)))""",
        {"note": lambda: entered.append(1)},
    )
    with pytest.raises(HostValueError):
        api["f"](value)
    assert entered == []
    assert api["f"](255) is None
    assert entered == [1]


# ---- handles

LENT_AND_GIVEN = f"""(component
  (import "host" (instance $host (export "thing" (type $t (sub resource))) (export "new" (func (result (own $t))))
    (export "both" (func (param "a" (borrow $t)) (param "b" (own $t)) (result (result (error string)))))))
  (alias export $host "thing" (type $t)) (alias export $host "new" (func $new)) (alias export $host "both" (func $both))
  {MEMORY}
  (core func $l.new (canon lower (func $new))) (core func $l.both (canon lower (func $both) (memory $memory) (realloc $realloc)))
  (core func $l.drop (canon resource.drop $t))
  (core module $Main
    (import "h" "new" (func $new (result i32))) (import "h" "both" (func $both (param i32 i32 i32)))
    (import "h" "drop" (func $drop (param i32)))
    (func (export "same") (local $a i32) (local.set $a (call $new)) (call $both (local.get $a) (local.get $a) (i32.const 16)))
    (func (export "two") (local $a i32) (local.set $a (call $new)) (call $both (local.get $a) (call $new) (i32.const 16))
      (call $drop (local.get $a)))
    (func (export "again") (local $a i32) (local.set $a (call $new))
      (call $both (local.get $a) (call $new) (i32.const 16)) (call $both (call $new) (local.get $a) (i32.const 16))))
  (core instance $main (instantiate $Main
    (with "h" (instance (export "new" (func $l.new)) (export "both" (func $l.both)) (export "drop" (func $l.drop))))))
  (alias core export $main "same" (core func $same)) (func $same (canon lift (core func $same)))
  (alias core export $main "two" (core func $two)) (func $two (canon lift (core func $two)))
  (alias core export $main "again" (core func $again)) (func $again (canon lift (core func $again)))
  (instance $api (export "same" (func $same)) (export "two" (func $two)) (export "again" (func $again)))
  (export "api" (instance $api)))"""


class Things:
    def __init__(self, *, refuses=False):
        self.made, self.log, self.refuses = 0, [], refuses

    def new(self):
        self.made += 1
        return self.made

    def both(self, lent, given):
        self.log.append((lent, given))
        if self.refuses:
            raise WitError("refused", "no")

    def drop(self, rep):
        self.log.append(("drop", rep))


def test_a_handle_cannot_be_lent_and_given_away_in_one_call(directly):
    things = Things()
    api = directly(LENT_AND_GIVEN, {"new": things.new, "both": things.both}, destructors={"thing": things.drop})
    with pytest.raises(AbiTrap, match="while borrowed"):
        api["same"]()
    assert things.log == []


@pytest.mark.parametrize("refuses", [False, True])
def test_a_loan_ends_with_its_call(directly, refuses):
    things = Things(refuses=refuses)
    api = directly(LENT_AND_GIVEN, {"new": things.new, "both": things.both}, destructors={"thing": things.drop})
    api["two"]()
    api["again"]()
    assert things.log == [(1, 2), ("drop", 1), (3, 4), (5, 3)]


OWN = """(component
  (import "host" (instance $host (export "gone" (func (param "rep" u32)))))
  (alias export $host "gone" (func $gone)) (core func $l.gone (canon lower (func $gone)))
  (core module $Dtor (import "h" "gone" (func $gone (param i32))) (table (export "t") 1 funcref) (type $d (func (param i32)))
    (func (export "dtor") (param i32) (call $gone (local.get 0)) (if (ref.is_null (table.get (i32.const 0))) (then return))
      (call_indirect (type $d) (local.get 0) (i32.const 0))))
  (core instance $d (instantiate $Dtor (with "h" (instance (export "gone" (func $l.gone))))))
  (alias core export $d "dtor" (core func $dtor)) (alias core export $d "t" (core table $t))
  (type $r (resource (rep i32) (dtor (core func $dtor))))
  (core func $new (canon resource.new $r)) (core func $rep (canon resource.rep $r)) (core func $drop (canon resource.drop $r))
  (core module $Main (import "d" "t" (table 1 funcref))
    (import "r" "new" (func $new (param i32) (result i32))) (import "r" "rep" (func $rep (param i32) (result i32)))
    (import "r" "drop" (func $drop (param i32)))
    (func $more (param i32) (if (local.get 0) (then (call $drop (call $new (i32.sub (local.get 0) (i32.const 1)))))))
    (elem declare func $more)
    (func (export "chain") (table.set (i32.const 0) (ref.func $more)))
    (func (export "new") (param i32) (result i32) (call $new (local.get 0)))
    (func (export "rep") (param i32) (result i32) (call $rep (local.get 0)))
    (func (export "drop") (param i32) (call $drop (local.get 0))))
  (core instance $main (instantiate $Main (with "d" (instance (export "t" (table $t))))
    (with "r" (instance (export "new" (func $new)) (export "rep" (func $rep)) (export "drop" (func $drop))))))
  (alias core export $main "new" (core func $c.new)) (func $f.new (param "x" u32) (result u32) (canon lift (core func $c.new)))
  (alias core export $main "rep" (core func $c.rep)) (func $f.rep (param "x" u32) (result u32) (canon lift (core func $c.rep)))
  (alias core export $main "drop" (core func $c.drop)) (func $f.drop (param "x" u32) (canon lift (core func $c.drop)))
  (alias core export $main "chain" (core func $c.chain)) (func $f.chain (canon lift (core func $c.chain)))
  (instance $api (export "new" (func $f.new)) (export "rep" (func $f.rep)) (export "drop" (func $f.drop)) (export "chain" (func $f.chain)))
  (export "api" (instance $api)))"""


def test_a_guests_own_resources_are_handles_with_its_own_destructor(directly):
    gone = []
    api = directly(OWN, {"gone": gone.append})
    first, second = api["new"](7), api["new"](2**32 - 1)
    assert (first, second) == (1, 2)
    assert (api["rep"](first), api["rep"](second)) == (7, 2**32 - 1)
    api["drop"](second)
    api["drop"](first)
    assert gone == [2**32 - 1, 7]
    assert api["new"](9) == first  # freed last, used first
    with pytest.raises(AbiTrap, match="unknown handle index 2"):
        api["rep"](second)


def test_destructors_inside_destructors_come_to_an_end(directly):
    gone = []
    api = directly(OWN, {"gone": gone.append})
    api["chain"]()
    api["drop"](api["new"](5))
    assert gone == [5, 4, 3, 2, 1, 0]
    gone.clear()
    with pytest.raises(AbiTrap, match="destructors"):
        api["drop"](api["new"](10_000))
    assert len(gone) == MOST_DESTRUCTORS


@pytest.mark.parametrize(
    ("operation", "result", "allowed"), [("rep", "(result i32)", True), ("new", "(result i32)", False), ("drop", "", False)]
)
def test_what_a_post_return_may_do_is_what_wasmtime_lets_it(wasm, directly, operation, result, allowed):
    text = f"""(component
      (type $r (resource (rep i32))) (core func $new (canon resource.new $r)) (core func $op (canon resource.{operation} $r))
      (core module $M (import "r" "new" (func $new (param i32) (result i32))) (import "r" "op" (func $op (param i32) {result}))
        (memory (export "m") 1)
        (func (export "f") (result i32) (drop (call $new (i32.const 5))) (i32.const 8))
        (func (export "p") (param i32) (call $op (i32.const 1)) {"(drop)" if result else ""}))
      (core instance $m (instantiate $M (with "r" (instance (export "new" (func $new)) (export "op" (func $op))))))
      (alias core export $m "f" (core func $f)) (alias core export $m "p" (core func $p)) (alias core export $m "m" (core memory $mem))
      (func $lifted (result string) (canon lift (core func $f) (memory $mem) (post-return $p)))
      (instance $api (export "f" (func $lifted))) (export "api" (instance $api)))"""
    store, function = abi.stockly(wasm, bytes(wasmtime.wat2wasm(text)), {})
    direct = directly(text)["f"]
    for call, refusal in ((lambda: function(store), wasmtime.WasmtimeError), (direct, AbiTrap)):
        if allowed:
            assert call() == ""
        else:
            with pytest.raises(refusal, match="cannot leave component instance"):
                call()
    store.close()


# ---- refused, with its name, before anything runs

RUNS = "(core module $Boot (func $boot unreachable) (start $boot)) (core instance (instantiate $Boot))"
IMPORT = '(import "host" (instance $host {}))'
LIFT = """(core module $Main (func (export "f") {core}) (memory (export "m") 1)
  (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable))
  (core instance $main (instantiate $Main)) (alias core export $main "f" (core func $f)) (alias core export $main "m" (core memory $m))
  (alias core export $main "r" (core func $r))
  (func $lifted {type} (canon lift (core func $f) (memory $m) (realloc $r) {options}))
  (instance $api {types} (export "f" (func $lifted))) (export "api" (instance $api))"""


def nested(depth):
    levels = "".join(f"(type $t{number} (list {'u8' if number == 0 else f'$t{number - 1}'}))" for number in range(depth))
    return levels + LIFT.format(core="(param i32 i32)", type=f'(param "x" $t{depth - 1})', options="", types="")


def tuples(levels, width=2):
    text = ""
    for number in range(levels):
        inner = "u8" if number == 0 else f"$t{number - 1}"
        text += f"(type $t{number} (tuple {' '.join([inner] * width)}))"
    return text + LIFT.format(core="(param i32)", type=f'(param "x" $t{levels - 1})', options="", types="")


def named(kind, count):
    names = " ".join(f'"n{number}"' for number in range(count))
    lifted = LIFT.format(core="(param i32)", type='(param "x" $v)', options="", types="")
    return f"(type $v' ({kind} {names}))" + lifted.replace("(func $lifted", '(export $v "v" (type $v\')) (func $lifted', 1)


SHAPES = {
    "utf16": (LIFT.format(core="(param i32 i32)", type='(param "x" string)', options="string-encoding=utf16", types=""), "utf16"),
    "an option of an option": (
        LIFT.format(core="(param i32 i32 i32)", type='(param "x" (option (option u8)))', options="", types=""),
        "option of an option",
    ),
    "a float and an integer in one place": (
        '(type $v\' (variant (case "a" f32) (case "b" u32)))'
        + LIFT.format(core="(param i32 i32)", type='(param "x" $v)', options="", types='(export "v" (type $v))').replace(
            "(func $lifted", '(export $v "v" (type $v\')) (func $lifted', 1
        ),
        "float and an integer",
    ),
    "more cases than 256": (named("enum", 257), "257 cases"),
    "types inside each other": (nested(17), "16 types inside each other"),
    "a type that is too large": (tuples(14), "longer than"),
    "a call from component to component": (
        f"""{MEMORY} (core module $M (func (export "f"))) (core instance $m (instantiate $M)) (alias core export $m "f" (core func $f))
        (func $lifted (canon lift (core func $f))) (core func (canon lower (func $lifted)))""",
        "component to component",
    ),
    "an inner component with code": (
        """(component $C (core module $M (func (export "f"))) (core instance $m (instantiate $M))) (instance (instantiate $C))""",
        "composed of several",
    ),
    "an imported resource at the top": ('(import "r" (type (sub resource)))', "import of a type"),
}


@pytest.mark.parametrize(("text", "says"), SHAPES.values(), ids=SHAPES)
def test_what_is_not_implemented_is_refused_by_name_before_anything_runs(wasm, text, says):
    """Each of these is a valid component whose start function would trap, and it is refused by a pass that has no store."""
    data = bytes(wasmtime.wat2wasm(f"(component {RUNS} {text})"))
    wc.Component(wasm, data)
    with pytest.raises(Unsupported, match=says):
        Planner(lambda code: wasmtime.Module(wasm, code)).plan(read(data))


def test_what_is_not_implemented_does_no_harm_where_it_is_only_declared(directly):
    names = " ".join(f'"b{number}"' for number in range(32))
    api = directly(
        f"""(component (import "host" (instance $host
        (type $wide' (flags {names})) (export "wide" (type $wide (eq $wide'))) (export "never" (func (param "x" (option (option u8)))))))
      (core module $Main (func (export "f") (result i32) (i32.const 41))) (core instance $main (instantiate $Main))
      (alias core export $main "f" (core func $f)) (func $lifted (result u8) (canon lift (core func $f)))
      (instance $api (export "f" (func $lifted))) (export "api" (instance $api)))"""
    )
    assert api["f"]() == 41


def test_components_inside_components_are_evaluated_only_so_often(wasm):
    """Thirty lines that would stand for 2^16 definitions and more: each component instantiates the one before it twice."""
    text = "(component $c0 (type u8) (type u8))"
    for number in range(1, 18):
        text += (
            f"(component $c{number} (alias outer 1 $c{number - 1} (component $inner))"
            "(instance (instantiate $inner)) (instance (instantiate $inner)))"
        )
    data = bytes(wasmtime.wat2wasm(f"(component {text} (instance (instantiate $c17)))"))
    with pytest.raises(Unsupported, match=str(MOST_DEFINITIONS)):
        Planner(lambda code: wasmtime.Module(wasm, code)).plan(read(data))
