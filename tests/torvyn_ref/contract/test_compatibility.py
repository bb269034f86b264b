import pytest

from torvyn_ref.contract import wit
from torvyn_ref.contract.compatibility import Change, Kind, Verdict, compare, compare_interfaces
from torvyn_ref.contract.requirements import meet


def package(body, version="1.0.0", name="acme:x"):
    return wit.parse(f"package {name}@{version};\n{body}")


def differences(old, new):
    return [("/".join(one.path), one.change, one.kind) for one in compare(package(old), package(new)).differences]


def test_a_package_is_compatible_with_itself_whatever_its_comments_and_order():
    old = package("interface a { f: func(); } interface b { type t = u32; }")
    new = package("/// Other words.\ninterface b { type t = u32; } interface a { f: func(); }")
    assert compare(old, new).differences == ()
    assert compare(old, new).verdict is Verdict.COMPATIBLE
    assert compare(old, new).link_compatible


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("record r { a: u8, b: u8 }", "record r { b: u8, a: u8 }", [("i/r", Change.CHANGED, Kind.INCOMPATIBLE)]),
        ("record r { a: u8 }", "record r { a: u8, b: u8 }", [("i/r/b", Change.ADDED, Kind.INCOMPATIBLE)]),
        ("enum e { a, b }", "enum e { a }", [("i/e/b", Change.REMOVED, Kind.CASE_REMOVED)]),
        ("enum e { a, b }", "enum e { a, b, c }", [("i/e/c", Change.ADDED, None)]),
        ("flags e { a, b }", "flags e { b, a }", [("i/e", Change.CHANGED, Kind.INCOMPATIBLE)]),
        ("type t = u8;", "type t = list<u8>;", [("i/t", Change.CHANGED, Kind.TYPE_SIGNATURE)]),
        ("resource r; f: func(x: borrow<r>);", "resource r; f: func(x: r);", [("i/f/x", Change.CHANGED, Kind.OWNERSHIP)]),
        ("resource r { a: func(); }", "resource r { a: static func(); }", [("i/r/a", Change.CHANGED, Kind.TYPE_SIGNATURE)]),
        ("f: func(x: u8);", "f: func(y: u8);", [("i/f/x", Change.CHANGED, None)]),
        ("f: func() -> result<u8>;", "f: func() -> result<u8, u8>;", [("i/f", Change.CHANGED, Kind.TYPE_SIGNATURE)]),
        ("record r { a: u8 }", "variant r { a(u8) }", [("i/r", Change.CHANGED, Kind.TYPE_SIGNATURE)]),
    ],
)
def test_differences_have_a_path_and_a_class(old, new, found):
    assert differences(f"interface i {{ {old} }}", f"interface i {{ {new} }}") == found


def test_a_changed_record_is_one_difference_however_many_functions_take_it():
    old = "interface i { record r { a: u8 } f: func(x: r); g: func(x: list<r>) -> r; }"
    assert [path for path, *_ in differences(old, old.replace("a: u8", "a: u16"))] == ["i/r/a"]


def test_a_world_must_not_need_more_nor_offer_less():
    faces = "interface a {} interface b {} "
    old, new = f"{faces} world w {{ import a; export b; }}", f"{faces} world w {{ import b; }}"
    assert differences(old, new) == [
        ("w/acme:x/b", Change.REMOVED, Kind.INCOMPATIBLE),
        ("w/acme:x/a", Change.REMOVED, None),
        ("w/acme:x/b", Change.ADDED, Kind.INCOMPATIBLE),
    ]


def test_a_world_with_an_interface_written_in_place_is_looked_into():
    old = "world w { export it: interface { f: func(); } import g: func(x: u8); }"
    new = "world w { export it: interface { } import g: func(x: u16); }"
    assert [path for path, *_ in differences(old, new)] == ["w/it/f", "w/g/x"]


def test_a_new_case_is_minor_and_does_not_link():
    found = compare(package("interface i { enum e { a } }"), package("interface i { enum e { a, b } }", "1.1.0"))
    assert found.verdict is Verdict.COMPATIBLE_WITH_ADDITIONS
    assert not found.link_compatible


def test_another_major_version_is_incompatible_and_none_is_version_0():
    assert compare(package("interface i {}"), package("interface i {}", "2.0.0")).verdict is Verdict.INCOMPATIBLE
    found = compare(wit.parse("package a:b; interface i {}"), package("interface i {}", "0.4.0", "a:b"))
    assert (found.verdict, found.old_version) == (Verdict.COMPATIBLE, "0.0.0")


def test_only_interfaces_that_both_have_are_compared_for_a_connection():
    old, new = package("interface a { f: func(); } interface b { f: func(); }"), package("interface b { }")
    assert [one.path for one in compare_interfaces(old, new, ["a", "b"])] == [("b", "f")]


@pytest.mark.parametrize(
    ("consumer", "provider", "kinds"),
    [
        ("1.2.0", "1.2.0", []),
        ("1.2.0", "1.10.0", []),
        ("1.2.0", "1.1.9", ["version-too-old"]),
        ("1.2.0", "2.0.0", ["incompatible-major"]),
        ("0.1.0", "0.2.0", ["minor-differs"]),
        ("0.2.0", "0.1.0", ["version-too-old"]),
    ],
)
def test_a_provider_serves_by_its_version(consumer, provider, kinds):
    found = meet(package("interface i {}", consumer), package("interface i {}", provider), ["i"])
    assert [one.kind for one in found] == kinds


def test_a_provider_must_have_what_is_used():
    consumer = package("interface a { f: func(); } interface b { f: func(); }")
    found = meet(consumer, package("interface a { }"), ["a", "b"])
    assert [(one.kind, one.about) for one in found] == [("missing-interface", ("b",)), ("missing-function", ("a", "f"))]
    assert [one.kind for one in meet(consumer, package("interface a {}", name="acme:y"), [])] == ["package-mismatch"]
