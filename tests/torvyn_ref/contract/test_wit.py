"""The WIT reader, and the contract it reads: torvyn's four packages, signature by signature."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torvyn_ref.contract import wit
from torvyn_ref.contract.wit.lexer import KEYWORDS
from torvyn_ref.errors import TorvynError, TorvynErrors

WIT = Path(__file__).resolve().parents[3] / "wit"
PACKAGES = ("torvyn-streaming", "torvyn-filtering", "torvyn-aggregation", "torvyn-capabilities")

PUSHED = "func(element: stream-element)"
SIGNATURES = {
    "torvyn:streaming/types@0.1.0": {
        "buffer": "resource",
        "mutable-buffer": "resource",
        "flow-context": "resource",
        "buffer-error": "variant capacity-exceeded | out-of-bounds | allocation-failed(string)",
        "element-meta": "record sequence: u64, timestamp-ns: u64, content-type: string",
        "stream-element": "record meta: element-meta, payload: borrow<buffer>, context: borrow<flow-context>",
        "output-element": "record meta: element-meta, payload: buffer",
        "process-result": "variant emit(output-element) | drop",
        "process-error": "variant invalid-input(string) | unavailable(string) | internal(string) | deadline-exceeded | fatal(string)",
        "backpressure-signal": "enum ready | pause",
        "[method]buffer.size": "func() -> u64",
        "[method]buffer.content-type": "func() -> string",
        "[method]buffer.read": "func(offset: u64, len: u64) -> list<u8>",
        "[method]buffer.read-all": "func() -> list<u8>",
        "[method]mutable-buffer.write": "func(offset: u64, bytes: list<u8>) -> result<_, buffer-error>",
        "[method]mutable-buffer.append": "func(bytes: list<u8>) -> result<_, buffer-error>",
        "[method]mutable-buffer.size": "func() -> u64",
        "[method]mutable-buffer.capacity": "func() -> u64",
        "[method]mutable-buffer.set-content-type": "func(content-type: string)",
        "[method]mutable-buffer.freeze": "func() -> buffer",
        "[method]flow-context.trace-id": "func() -> string",
        "[method]flow-context.span-id": "func() -> string",
        "[method]flow-context.deadline-ns": "func() -> u64",
        "[method]flow-context.flow-id": "func() -> string",
    },
    "torvyn:streaming/buffer-allocator@0.1.0": {
        "allocate": "func(capacity-hint: u64) -> result<mutable-buffer, buffer-error>",
        "clone-into-mutable": "func(source: borrow<buffer>) -> result<mutable-buffer, buffer-error>",
    },
    "torvyn:streaming/processor@0.1.0": {"process": "func(input: stream-element) -> result<process-result, process-error>"},
    "torvyn:streaming/source@0.1.0": {
        "pull": "func() -> result<option<output-element>, process-error>",
        "notify-backpressure": "func(signal: backpressure-signal)",
    },
    "torvyn:streaming/sink@0.1.0": {
        "push": f"{PUSHED} -> result<backpressure-signal, process-error>",
        "complete": "func() -> result<_, process-error>",
    },
    "torvyn:streaming/lifecycle@0.1.0": {"init": "func(config: string) -> result<_, process-error>", "teardown": "func()"},
    "torvyn:filtering/filter@0.1.0": {"evaluate": f"{PUSHED} -> result<bool, process-error>"},
    "torvyn:filtering/router@0.1.0": {"route": f"{PUSHED} -> result<list<string>, process-error>"},
    "torvyn:aggregation/aggregator@0.1.0": {
        "ingest": f"{PUSHED} -> result<option<output-element>, process-error>",
        "flush": "func() -> result<list<output-element>, process-error>",
    },
    "torvyn:capabilities/capability-query@0.1.0": {"has-capability": "func(name: string) -> bool"},
}

TYPES, ALLOCATOR, LIFECYCLE = (f"torvyn:streaming/{name}@0.1.0" for name in ("types", "buffer-allocator", "lifecycle"))
WORLDS = {
    "torvyn:streaming/transform@0.1.0": ([TYPES, ALLOCATOR], ["torvyn:streaming/processor@0.1.0"]),
    "torvyn:streaming/managed-transform@0.1.0": ([TYPES, ALLOCATOR], ["torvyn:streaming/processor@0.1.0", LIFECYCLE]),
    "torvyn:streaming/data-source@0.1.0": ([TYPES, ALLOCATOR], ["torvyn:streaming/source@0.1.0", LIFECYCLE]),
    "torvyn:streaming/data-sink@0.1.0": ([TYPES], ["torvyn:streaming/sink@0.1.0", LIFECYCLE]),
    "torvyn:filtering/content-filter@0.1.0": ([TYPES], ["torvyn:filtering/filter@0.1.0", LIFECYCLE]),
    "torvyn:filtering/content-router@0.1.0": ([TYPES], ["torvyn:filtering/router@0.1.0", LIFECYCLE]),
    "torvyn:aggregation/stream-aggregator@0.1.0": ([TYPES, ALLOCATOR], ["torvyn:aggregation/aggregator@0.1.0", LIFECYCLE]),
}


def sight(interface):
    names = {use.target: use.name for use in interface.uses}
    return names | {wit.Named(interface.name, definition.name): definition.name for definition in interface.types}


def signatures(interface):
    """An interface in the shorthand of the specification."""
    local = sight(interface)

    def written(kind):
        return wit.format_type(kind, local=local)

    def fields(members):
        return ", ".join(f"{member.name}: {written(member.type)}" for member in members)

    found = {}
    for definition in interface.types:
        match definition:
            case wit.Resource():
                found[definition.name] = "resource"
            case wit.Record(_, members):
                found[definition.name] = f"record {fields(members)}"
            case wit.Variant(_, cases):
                shown = (case.name + (f"({written(case.type)})" if case.type else "") for case in cases)
                found[definition.name] = f"variant {' | '.join(shown)}"
            case wit.Enum(_, cases):
                found[definition.name] = f"enum {' | '.join(case.name for case in cases)}"
    for name, function in interface.all_functions().items():
        result = f" -> {written(function.result)}" if function.result is not None else ""
        found[name] = f"func({fields(function.parameters)}){result}"
    return found


def package_of(body, name="a:b"):
    return wit.parse(f"package {name};\n{body}")


def interface_of(body):
    return package_of(f"interface i {{\n{body}\n}}").interfaces[0]


def refusal(files, *dependencies):
    with pytest.raises(TorvynError) as caught:
        wit.parse(files, dependencies)
    return caught.value


# The contract


def test_the_packages_have_exactly_the_specified_signatures():
    loaded = [wit.load(WIT / directory)[0] for directory in PACKAGES]
    found = {str(interface.name): signatures(interface) for package in loaded for interface in package.interfaces}
    assert found == SIGNATURES


def test_the_worlds_import_and_export_what_is_specified():
    loaded = [wit.load(WIT / directory)[0] for directory in PACKAGES]
    worlds = {
        str(world.name): ([item.name for item in world.imports], [item.name for item in world.exports])
        for package in loaded
        for world in package.worlds
    }
    assert worlds == WORLDS


def test_every_part_of_the_contract_is_documented():
    for directory in PACKAGES:
        package = wit.load(WIT / directory)[0]
        for interface in package.interfaces:
            parts = [interface, *interface.types, *interface.all_functions().values()]
            assert [part.name for part in parts if not part.docs] == []
        assert [world.name for world in package.worlds if not world.docs] == []


@pytest.mark.parametrize("directory", ["torvyn-filtering", "torvyn-aggregation"])
def test_the_packages_under_deps_are_copies(directory):
    original = {path.name: path.read_bytes() for path in (WIT / "torvyn-streaming").glob("*.wit")}
    assert {path.name: path.read_bytes() for path in (WIT / directory / "deps/torvyn-streaming").iterdir()} == original


@pytest.mark.parametrize("directory", PACKAGES)
def test_a_package_survives_printing(directory):
    package, *dependencies = wit.load(WIT / directory)
    text = wit.format_package(package)
    again = wit.parse(text, dependencies)
    assert again == package
    assert wit.format_package(again) == text


# Reading


def test_a_used_type_is_the_type_where_it_is_defined():
    package = package_of(
        "interface a { record r { x: u8 } resource h; }"
        "interface b { use a.{r, h}; type s = r; }"
        "interface c { use b.{r as q, h as g}; f: func(x: q, y: g, z: borrow<g>) -> own<g>; }",
        "n:p@1.2.3-rc.1+build",
    )
    name = wit.InterfaceName(wit.PackageName("n", "p", "1.2.3-rc.1+build"), "a")
    record, handle = wit.Named(name, "r"), wit.Named(name, "h")
    function = package.interface("c").functions[0]
    assert [field.type for field in function.parameters] == [record, wit.Own(handle), wit.Borrow(handle)]
    assert function.result == wit.Own(handle)
    assert package.interface("b").types[0].target == record


def test_declarations_may_come_in_any_order_and_in_any_file():
    first = "package a:b; interface i { use j.{t}; f: func() -> list<u>; type u = t; }"
    second = "interface j { type t = u8; }"
    assert wit.parse({"1.wit": first, "2.wit": second}).interface("i") == wit.parse({"2": second, "1": first}).interface("i")


def test_every_kind_of_type_is_read():
    interface = interface_of(
        """
        flags fl { a, b, }
        enum en { x, %list }
        variant va { none, some(u8) }
        record re { f: result, g: result<u8>, h: result<_, string>, i: result<u8, char> }
        type ty = tuple<bool, list<option<f64>>>;
        resource rs { constructor(x: u8); go: func() -> s8; make: static func() -> rs; }
        """
    )
    types = {definition.name: definition for definition in interface.types}
    assert [flag.name for flag in types["fl"].flags] == ["a", "b"]
    assert [case.name for case in types["en"].cases] == ["x", "list"]
    assert types["va"].cases == (wit.Case("none"), wit.Case("some", wit.Primitive.U8))
    u8, string, char = wit.Primitive.U8, wit.Primitive.STRING, wit.Primitive.CHAR
    results = [wit.ResultOf(None, None), wit.ResultOf(u8, None), wit.ResultOf(None, string), wit.ResultOf(u8, char)]
    assert [field.type for field in types["re"].fields] == results
    assert types["ty"].target == wit.TupleOf((wit.Primitive.BOOL, wit.ListOf(wit.OptionOf(wit.Primitive.F64))))
    assert list(interface.all_functions()) == ["[constructor]rs", "[method]rs.go", "[static]rs.make"]


def test_worlds_take_interfaces_functions_interfaces_in_place_and_other_worlds():
    package = package_of(
        """
        interface i { }
        world base { import i; import log: func(text: string); export run: func(); }
        world w {
            include base with { run as start }
            type size = u64;
            import more: interface { type t = u8; f: func() -> t; }
            export measure: func() -> size;
        }
        """
    )
    world = package.world("w")
    assert [item.name for item in world.imports] == ["more", "a:b/i", "log"]
    assert [item.name for item in world.exports] == ["measure", "start"]


def test_documentation_is_kept_and_is_no_part_of_the_contract():
    documented = interface_of("/// First.\n///   indented\n\n/// Last.\nf: func();")
    assert documented.functions[0].docs == "First.\n  indented\nLast."
    assert documented == interface_of("/* block /* nested */ */ f: func(); // line")


def test_gates_are_read_over_wherever_they_stand():
    gated = (
        "@since(version = 0.2.0) interface i { @unstable(feature = x-y) @deprecated(version = 0.2.1) f: func();"
        " resource r { @since(version = 0.2.0) constructor(); } enum e { @since(version = 0.2.0) a } }"
    )
    assert package_of(gated) == package_of("interface i { f: func(); resource r { constructor(); } enum e { a } }")


def test_positions_are_those_of_the_text():
    interface = wit.parse({"dir/x.wit": "package a:b;\n\n  interface i {\n\tf: func();}"}).interfaces[0]
    assert (str(interface.span), str(interface.functions[0].span)) == ("dir/x.wit:3:3", "dir/x.wit:4:2")


# Refusing


@pytest.mark.parametrize(
    ("body", "kind", "where"),
    [
        ("interface i { f func(); }", "syntax", "2:17"),
        ("interface i { f: func() -> ; }", "syntax", "2:28"),
        ("interface list { }", "syntax", "2:11"),
        ("interface i {", "syntax", "2:14"),
        ("interface I-i { record r { } }", "syntax", "2:24"),
        ("interface i { use j.{}; } interface j { }", "syntax", "2:19"),
        ("interface i { type t = list; }", "syntax", "2:24"),
        ("interface i { type t = result<u8, u8, u8>; }", "syntax", "2:24"),
        ("interface i { type t = tuple; }", "syntax", "2:24"),
        ("interface snake_case { }", "syntax", "2:11"),
        ("interface i { f: func(); } \u2603", "syntax", "2:28"),
        ("/* never closed", "syntax", "2:1"),
        ("package c:d;", "syntax", None),
        ("@sometimes(x) interface i { }", "syntax", "2:2"),
        ("interface i { type t = u; }", "unknown-name", "2:24"),
        ("interface i { use j.{t}; }", "unknown-name", "2:19"),
        ("interface i { use j.{t}; } interface j { }", "unknown-name", "2:22"),
        ("interface i { use c:d/e@1.0.0.{t}; }", "unknown-package", "2:19"),
        ("world w { import i; }", "unknown-name", "2:18"),
        ("world w { include v; }", "unknown-name", "2:19"),
        ("world w { include v with { f as g } } world v { }", "unknown-name", "2:19"),
        ("interface i { } interface i { }", "duplicate", "2:17"),
        ("interface i { } world i { }", "duplicate", "2:17"),
        ("interface i { f: func(); type f = u8; }", "duplicate", "2:15"),
        ("interface i { record r { x: u8, x: u8 } }", "duplicate", "2:33"),
        ("interface i { enum e { x, x } }", "duplicate", "2:27"),
        ("interface i { f: func(x: u8, x: u8); }", "duplicate", "2:30"),
        ("interface i { resource r { f: func(self: u8); } }", "duplicate", "2:28"),
        ("interface i { use j.{t}; type t = u8; } interface j { type t = u8; }", "duplicate", "2:31"),
        ("world w { export f: func(); export f: func(); }", "duplicate", "2:29"),
        ("interface i { record r { next: option<r> } }", "cycle", None),
        ("interface i { use j.{t}; } interface j { use i.{t}; }", "cycle", None),
        ("world w { include v; } world v { include w; }", "cycle", "2:42"),
        ("interface i { type t = borrow<u8>; }", "not-a-resource", "2:31"),
        ("interface i { record r { x: u8 } f: func(x: own<r>); }", "not-a-resource", "2:49"),
        ("interface i { resource r; f: func() -> option<borrow<r>>; }", "borrow-in-result", "2:40"),
        ("interface i { f: async func(); }", "unsupported", "2:18"),
        ("interface i { f: func() -> stream<u8>; }", "unsupported", "2:28"),
        ("interface i { f: func() -> future<u8>; }", "unsupported", "2:28"),
        ("use c:d/e;", "unsupported", "2:1"),
        ("world w { include v; } world v { type t = u8; }", "unsupported", "2:19"),
        ("interface i { type t = " + "list<" * 33 + "u8" + ">" * 33 + "; }", "too-large", None),
    ],
)
def test_a_mistake_is_refused_where_it_is(body, kind, where):
    error = refusal(f"package a:b;\n{body}")
    first = error.errors[0] if isinstance(error, TorvynErrors) else error
    assert (first.subsystem, first.kind, first.code) == ("contract", kind, "E0100")
    assert first.where.startswith("<text>:")
    assert where is None or first.where == f"<text>:{where}"


def test_a_nested_package_is_refused_by_name():
    assert refusal("package a:b { interface i { } }").kind == "unsupported"


def test_a_keyword_as_a_name_is_explained():
    assert refusal("package a:b; interface i { type: func(); }").kind == "syntax"
    assert "%list" in refusal("package a:b; interface i { enum e { list } }").hint


def test_all_mistakes_of_all_files_are_reported_together():
    syntax = refusal({"a.wit": "package a:b; interface", "b.wit": "interface i {", "c.wit": "interface j { }"})
    assert [error.where for error in syntax.errors] == ["a.wit:1:23", "b.wit:1:14"]
    names = refusal("package a:b; interface i { f: func(x: t, y: u) -> v; } world w { import j; }")
    assert [error.kind for error in names.errors] == ["unknown-name"] * 4


def test_files_of_different_packages_are_refused():
    error = refusal({"a.wit": "package a:b@0.1.0;", "b.wit": "package a:b@0.2.0;"})
    assert (error.kind, error.where) == ("package-mismatch", "b.wit:1:1")
    assert refusal({"a.wit": "interface i { }"}).message == "no file names the package"


def test_a_package_at_another_version_is_named_in_the_hint():
    other = package_of("interface d { type t = u8; }", "c:c@0.2.0")
    error = refusal("package a:b; interface i { use c:c/d@0.1.0.{t}; }", other)
    assert (error.kind, error.hint) == ("unknown-package", "there is c:c@0.2.0")


def test_no_files_no_package():
    assert (refusal({}).kind, refusal({}).code) == ("no-package", "E0102")


@pytest.mark.parametrize(
    "text",
    [
        "package a:b;" + " " * wit.MAX_FILE_BYTES,
        "package a:b; interface i { type t = " + "list<" * 150_000,
        "package a:b; interface i { " + "".join(f"type t{n} = t{n + 1};" for n in range(20_000)) + "}",
        "package a:b;" + "".join(f"interface i{n} {{ use i{n + 1}.{{t}}; }}" for n in range(8_000)),
        "package a:b;" + "".join(f"world i{n} {{ include i{n + 1}; }}" for n in range(8_000)),
        "package a:b;" + "/*" * 300_000,
        "package a:b@0.1.0-" + "a." * 300_000,
        "package " + "a-" * 300_000,
        "package a:b; interface i { " + "".join(f"f{n}x: func(a: t{n}x);" for n in range(10_000)) + "}",
    ],
)
@pytest.mark.timeout(60)  # each takes a second or two; quadratic work would take hours
def test_hostile_text_is_refused_in_bounded_time(text):
    error = refusal(text)
    assert len(getattr(error, "errors", [error])) <= 100


def test_too_many_files_are_refused():
    assert refusal({f"{n}.wit": "package a:b;" for n in range(wit.MAX_FILES + 1)}).kind == "too-large"


# Directories


def test_a_directory_is_loaded_with_its_dependencies_whatever_their_order(tmp_path):
    (tmp_path / "deps/aa").mkdir(parents=True)
    (tmp_path / "w.wit").write_text("package my:app@0.1.0; interface i { use aa:aa/x.{t}; }")
    (tmp_path / "deps/aa/x.wit").write_text("package aa:aa; interface x { use zz:zz/y.{t}; }")
    (tmp_path / "deps/zz.wit").write_text("package zz:zz; interface y { type t = u8; }")
    package, *dependencies = wit.load(tmp_path)
    assert [str(dependency.name) for dependency in dependencies] == ["aa:aa", "zz:zz"]
    assert str(package.interface("i").uses[0].target.interface) == "zz:zz/y"


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({}, "no-package"),
        ({"a.txt": b"package a:b;"}, "no-package"),
        ({"a.wit": b"\xff"}, "unreadable"),
        ({"a.wit": b"package a:b;" + b" " * wit.MAX_FILE_BYTES}, "too-large"),
        ({"a.wit": b"package a:b;", "deps/x.wit": b"package x:x; interface"}, "syntax"),
        (
            {
                "a.wit": b"package a:b;",
                "deps/x.wit": b"package x:x; interface i { use y:y/i.{t}; }",
                "deps/y.wit": b"package y:y; interface i { use x:x/i.{t}; }",
            },
            "unknown-package",
        ),
    ],
)
def test_a_directory_that_cannot_be_loaded_says_why(tmp_path, files, kind):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TorvynError) as caught:
        wit.load(tmp_path)
    assert caught.value.kind == kind


# Laws

WORDS = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,4}){0,2}", fullmatch=True) | st.sampled_from(sorted(KEYWORDS))
DOCS = st.just("") | st.text(alphabet="abc .`/*{}", max_size=20).map(str.rstrip)
A_B = wit.PackageName("a", "b", "0.1.0")


@st.composite
def names(draw, count):
    return draw(st.lists(WORDS, min_size=count, max_size=count, unique=True))


@st.composite
def types(draw, known, resources, *, lent=True):
    leaves = [st.sampled_from(list(wit.Primitive))]
    leaves += [st.sampled_from(known)] if known else []
    leaves += [st.sampled_from(resources).map(wit.Own)] if resources else []
    leaves += [st.sampled_from(resources).map(wit.Borrow)] if resources and lent else []
    return draw(
        st.recursive(
            st.one_of(leaves),
            lambda inner: st.one_of(
                inner.map(wit.ListOf),
                inner.map(wit.OptionOf),
                st.builds(wit.ResultOf, st.none() | inner, st.none() | inner),
                st.lists(inner, min_size=1, max_size=3).map(lambda items: wit.TupleOf(tuple(items))),
            ),
            max_leaves=4,
        )
    )


@st.composite
def functions(draw, name, known, resources, kind=wit.FunctionKind.FREE):
    parameters = [word for word in draw(names(draw(st.integers(0, 3)))) if word != "self"]
    fields = tuple(wit.Field(word, draw(types(known, resources))) for word in parameters)
    constructor = kind is wit.FunctionKind.CONSTRUCTOR
    result = None if constructor else draw(st.none() | types(known, resources, lent=False))
    return wit.Function("constructor" if constructor else name, fields, result, kind, draw(DOCS))


@st.composite
def interfaces(draw, name, visible):
    """An interface whose types mention only what comes before them; `visible` are other interfaces' types."""
    labels = draw(names(draw(st.integers(1, 8))))
    uses, definitions, known, resources = [], [], [], []
    for word in labels[: draw(st.integers(0, len(labels) // 2))] if visible else []:
        target, is_resource = draw(st.sampled_from(visible))
        if target not in [use.target for use in uses]:
            uses.append(wit.Use(word, target, is_resource))
            (resources if is_resource else known).append(target)
    rest = [word for word in labels if word not in [use.name for use in uses]]
    free = []
    for word in rest:
        kind = draw(st.sampled_from(["record", "variant", "enum", "flags", "type", "resource", "function"]))
        members, docs = draw(names(draw(st.integers(1, 3)))), draw(DOCS)
        drawn = types(known, resources)
        match kind:
            case "function":
                free.append(draw(functions(word, known, resources)))
                continue
            case "record":
                made = wit.Record(word, tuple(wit.Field(member, draw(drawn), docs) for member in members), docs)
            case "variant":
                made = wit.Variant(word, tuple(wit.Case(member, draw(st.none() | drawn)) for member in members), docs)
            case "enum":
                made = wit.Enum(word, tuple(wit.Label(member) for member in members), docs)
            case "flags":
                made = wit.Flags(word, tuple(wit.Label(member) for member in members), docs)
            case "type":
                made = wit.Alias(word, draw(drawn), docs)
            case _:
                kinds = st.sampled_from([wit.FunctionKind.METHOD, wit.FunctionKind.STATIC])
                made = wit.Resource(word, tuple(draw(functions(m, known, resources, draw(kinds))) for m in members), docs)
        definitions.append(made)
        (resources if kind == "resource" else known).append(wit.Named(name, word))
    by_interface = sorted(uses, key=lambda use: [use.target.interface for use in uses].index(use.target.interface))
    return wit.Interface(name, tuple(by_interface), tuple(definitions), tuple(free), draw(DOCS))


@st.composite
def packages(draw):
    first, second, world = (wit.InterfaceName(A_B, word) for word in draw(names(3)))
    one = draw(interfaces(first, []))
    visible = [(wit.Named(first, node.name), isinstance(node, wit.Resource)) for node in one.types]
    two = draw(interfaces(second, visible))
    items = draw(st.permutations([wit.InterfaceItem(first), wit.InterfaceItem(second)]))
    free = wit.FunctionItem(draw(functions("go", [], [])))
    return wit.Package(A_B, (one, two), (wit.World(world, tuple(items[:1]), (*items[1:], free)),))


@given(package=packages())
@settings(max_examples=150, deadline=None)
def test_printing_then_reading_gives_the_same_package(package):
    text = wit.format_package(package)
    again = wit.parse(text)
    assert again == package
    assert wit.format_package(again) == text


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_text_is_read_or_refused_and_nothing_else(data):
    text = (WIT / "torvyn-streaming" / data.draw(st.sampled_from(["types.wit", "world.wit", "source.wit"]))).read_text()
    at = data.draw(st.integers(0, len(text)))
    removed = data.draw(st.integers(0, 40))
    added = data.draw(st.text(max_size=5) | st.sampled_from(["{", "}", ";", "<", "/*", "///", "@", "%", "resource", "\0", "\r"]))
    try:
        package = wit.parse({"x.wit": text[:at] + added + text[at + removed :]})
    except TorvynError:
        return
    assert wit.parse(wit.format_package(package)) == package
