"""The rulebook is complete, consistent and readable, and says clearly what is wrong with it when it is not."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from conformance import ledger, rulebook
from conformance.rulebook import IDS, Area, Capability, Level, Profile, RulebookError, Testability, UnknownRuleError

ROOT = Path(__file__).resolve().parents[2]
BOOK = rulebook.load()
COUNTS = {
    "OWN": 42, "POOL": 18, "BUF": 27, "BUDGET": 14, "COPY": 18,
    "FLOW": 20, "CREDIT": 15, "WMK": 15, "POLICY": 16, "SCHED": 15, "ORD": 13, "ERR": 15, "CANCEL": 18, "TOPO": 15,
    "CAP": 61, "CON": 40, "LINK": 23, "CFG": 20, "OCI": 30, "OBS": 27, "CLI": 15,
}  # fmt: skip
"""Counted in the specification's three files: 119 + 142 + 216."""

ids = st.sampled_from(IDS)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(rulebook.FOLDER, tmp_path / "rulebook"))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) >= 1, f"{path.name} does not contain {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def problems(folder: Path) -> tuple[str, ...]:
    with pytest.raises(RulebookError) as caught:
        rulebook.read(folder)
    return caught.value.problems


# ---------------------------------------------------------------- what is in it


def test_the_module_wins_over_the_data_folder_of_the_same_name() -> None:
    assert Path(rulebook.__file__).name == "rulebook.py"
    assert rulebook.FOLDER.is_dir()


def test_every_rule_of_the_specification_is_there_once_and_in_order() -> None:
    assert tuple(rule.id for rule in BOOK) == IDS
    assert Counter(rule.area for rule in BOOK) == COUNTS
    assert len(BOOK) == sum(COUNTS.values()) == 477
    assert list(dict.fromkeys(rule.area for rule in BOOK)) == list(Area)


def test_every_profile_has_binding_rules_that_can_be_checked() -> None:
    for profile in Profile:
        rules = [rule for rule in BOOK if rule.profile == profile]
        assert any(rule.level.binding and rule.testability is Testability.BLACK_BOX for rule in rules)


def test_may_and_should_do_not_bind() -> None:
    assert {level for level in Level if level.binding} == {Level.MUST, Level.MUST_NOT}


def test_every_optional_capability_gates_a_rule() -> None:
    assert {rule.capability for rule in BOOK} - {None} == set(Capability)


def test_only_rules_about_cost_or_permission_are_untestable() -> None:
    untestable = {rule.id: rule for rule in BOOK if rule.testability is Testability.UNTESTABLE}
    assert set(untestable) == {"POOL-018", "CREDIT-014", "SCHED-015", "OBS-013"}
    assert not any(rule.level.binding for rule in untestable.values())


def test_titles_tell_rules_apart() -> None:
    assert [title for title, count in Counter(rule.title for rule in BOOK).items() if count > 1] == []


@pytest.mark.parametrize("field", ["text", "consequence", "test", "why", "note"])
def test_prose_is_written_in_sentences(field: str) -> None:
    prose = {rule.id: getattr(rule, field) for rule in BOOK if getattr(rule, field)}
    assert [rule_id for rule_id, text in prose.items() if not text.endswith((".", "?"))] == []
    assert [rule_id for rule_id, text in prose.items() if text != " ".join(text.split())] == []


def test_texts_do_not_use_the_shorthands_of_the_specification() -> None:
    shorthand = re.compile(r"\[(RM|WIT|OBS|RUN|READ|RUST|NEW|N|R)\b|✔|✓(?! and ✗)|\bWIT:\d")
    texts = {rule.id: " ".join((rule.title, rule.text, rule.consequence, rule.test, *rule.accepts)) for rule in BOOK}
    assert [rule_id for rule_id, text in texts.items() if shorthand.search(text)] == []


def test_a_rule_that_quotes_an_error_number_accepts_any_other() -> None:
    quoting = [rule for rule in BOOK if "upstream number" in rule.text]
    assert len(quoting) > 30
    for rule in quoting:
        assert "DEC-15" in rule.ambiguity
        assert any(reading.startswith("Any number, or none") for reading in rule.accepts)


def test_rules_that_other_rules_mention_exist() -> None:
    mention = re.compile(rf"\b(?:{'|'.join(Area)})-\d{{3}}\b")
    for entry in (*BOOK.rules, *BOOK.ambiguities):
        assert set(mention.findall(str(entry))) <= set(IDS), entry.id


@pytest.mark.parametrize(
    ("decision", "rule_id", "level", "words"),
    [
        (1, "CANCEL-006", Level.MUST, "an operator's cancel stays Cancelled and reports the discarded count"),
        (2, "POLICY-012", Level.MUST, "doubling to at most 100 ms"),
        (3, "CANCEL-013", Level.SHOULD, "2000 ms by default, at most 5 s"),
        (4, "CANCEL-010", Level.MUST_NOT, "at most once, after the last push"),
        (5, "ORD-006", Level.MUST, "when the element enters the pipeline"),
        (6, "ORD-003", Level.MUST, "one counter per flow"),
        (7, "CAP-038", Level.MUST, "In strict mode"),
        (8, "CAP-058", Level.MUST, "an unknown key is an error with a suggestion"),
        (9, "CAP-057", Level.MUST, "a Warning audit event is written for each"),
        (10, "CFG-019", Level.MUST, "one edit per three characters"),
        (11, "ERR-009", Level.MUST, 'only when the configuration says `"unlimited"`'),
        (12, "BUF-014", Level.MUST, "MUST fail with out-of-bounds and change nothing"),
        (13, "POOL-008", Level.MUST, "Where the exhaustion policy `error` is supported"),
        (14, "SCHED-002", Level.MUST, "Any other schedule that respects readiness"),
        (15, "FLOW-013", Level.MUST, "kind FlowNotFound"),
    ],
)
def test_decisions_take_precedence_over_the_specifications_text(decision: int, rule_id: str, level: Level, words: str) -> None:
    rule = BOOK.get(rule_id)
    assert rule.level is level
    assert words in rule.text
    assert f"DEC-{decision:02d}" in rule.ambiguity
    assert f"decision {decision}" in rule.source


def test_the_other_reading_of_the_timestamp_is_accepted_and_not_required() -> None:
    assert any("Re-stamped at each stage" in reading for reading in BOOK.get("ORD-006").accepts)


def test_rules_and_decision_records_name_each_other() -> None:
    fronts = {
        int(path.name[:3]): tomli.loads(path.read_text(encoding="utf-8").split("+++\n", 2)[1])
        for path in (ROOT / "docs" / "adr").glob("[0-9]*.md")
    }
    recorded = {(rule_id, number) for number, front in fronts.items() for rule_id in front["rules"]}
    assert {(rule.id, number) for rule in BOOK for number in rule.adrs} == recorded


# ---------------------------------------------------------------- the ledger


def test_the_ledger_holds_every_disagreement_and_decision_of_the_specification() -> None:
    prefixes = Counter(entry.id.partition("-")[0] for entry in BOOK.ambiguities)
    assert prefixes == {"D": 51, "K": 41, "J": 44, "DEC": 20}
    numbers = {
        prefix: {entry.id[len(prefix) + 1 :] for entry in BOOK.ambiguities if entry.id.startswith(f"{prefix}-")} for prefix in prefixes
    }
    assert numbers["D"] == {f"{n:02d}" for n in range(1, 51)} - {"25"} | {"25a", "25b"}
    assert numbers["J"] == {f"{n:02d}" for n in range(1, 45)}
    assert numbers["DEC"] == {f"{n:02d}" for n in range(1, 21)}
    assert {"02", "02b", "05", "05b", "50"} <= numbers["K"]


def test_every_decision_is_followed_by_a_rule() -> None:
    assert [entry.id for entry in BOOK.ambiguities if entry.id.startswith("DEC-") and not entry.rules] == []


def test_the_ledgers_page_is_up_to_date() -> None:
    assert ledger.PAGE.read_text(encoding="utf-8") == ledger.page(BOOK), "run: python -m conformance.rulebook ledger"


def test_the_page_keeps_prose_from_becoming_markup() -> None:
    entry = rulebook.Ambiguity(id="D-01", title="a * b", readings=("`x*`", "Vec<u8> or *y*"), chosen="c", why="w", rules=())
    page = ledger.page(rulebook.Rulebook((), (entry,)))
    assert "### D-01: a \\* b" in page
    assert "- `x*`\n- Vec&lt;u8> or \\*y\\*\n" in page


def test_the_page_is_written_by_the_module(tmp_path: Path) -> None:
    target = tmp_path / "page.md"
    command = [sys.executable, "-W", "error", "-m", "conformance.rulebook", "ledger", "--output", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{target}\n"
    assert target.read_text(encoding="utf-8") == ledger.PAGE.read_text(encoding="utf-8")


def test_a_broken_rulebook_writes_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> rulebook.Rulebook:
        raise RulebookError(["wmk.toml: WMK-001: level is missing"])

    monkeypatch.setattr(ledger, "load", broken)
    assert ledger.main(["ledger", "--output", str(tmp_path / "page.md")]) == 1
    assert capsys.readouterr().err == "the rulebook has 1 mistake:\n  wmk.toml: WMK-001: level is missing\n"
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- asking it


def test_a_rule_is_found_in_any_case() -> None:
    assert BOOK.get("wmk-004") is BOOK.get("WMK-004")
    assert "WMK-004" in BOOK
    assert "WMK-999" not in BOOK


@pytest.mark.parametrize("typed", ["WMK-04", "wmk-4", "WMK4", "wmk_004"])
def test_a_carelessly_typed_id_is_refused_with_the_one_that_was_meant(typed: str) -> None:
    with pytest.raises(UnknownRuleError, match=rf"^no rule '{typed}': did you mean WMK-004\?$"):
        BOOK.get(typed)


def test_an_unknown_id_is_refused_with_near_ones() -> None:
    with pytest.raises(UnknownRuleError, match=r"^no rule 'WMK-016': did you mean WMK-"):
        BOOK.get("WMK-016")


def test_an_id_unlike_any_is_refused_with_the_form_of_ids() -> None:
    with pytest.raises(UnknownRuleError, match=r"^no rule 'xyzzy': ids look like WMK-004"):
        BOOK.get("xyzzy")


def test_an_unknown_area_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UnknownRuleError, match=r"'CREDITS': did you mean CREDIT"):
        BOOK.by_area("CREDITS")


def test_selection_names_every_pattern_that_selects_nothing() -> None:
    with pytest.raises(UnknownRuleError) as caught:
        BOOK.select(["WMK", "WMQ-*", "OWN-001", "OWN-1"])
    assert caught.value.names == ("WMQ-*", "OWN-1")


def test_no_pattern_selects_nothing() -> None:
    assert BOOK.select([]) == ()


@given(st.lists(ids))
def test_selected_ids_come_once_each_in_the_rulebooks_order(wanted: list[str]) -> None:
    assert [rule.id for rule in BOOK.select(wanted)] == [rule_id for rule_id in IDS if rule_id in wanted]


@given(st.sampled_from(Area))
def test_an_area_its_glob_and_its_rules_are_the_same_selection(area: Area) -> None:
    assert BOOK.select([area]) == BOOK.select([f"{area}-*"]) == BOOK.by_area(area) == BOOK.by_area(area.lower())


@given(st.data())
def test_a_glob_selects_what_it_matches(data: st.DataObject) -> None:
    rule_id = data.draw(ids)
    position = data.draw(st.integers(0, len(rule_id)))
    glob = data.draw(st.sampled_from([f"{rule_id[:position]}*", f"*{rule_id[position:]}", f"{rule_id[:-1]}?"]))
    assert {rule.id for rule in BOOK.select([glob.lower()])} == {known for known in IDS if fnmatchcase(known, glob)}


@given(st.lists(ids), st.lists(ids))
def test_selecting_two_lists_is_the_union_of_selecting_each(left: list[str], right: list[str]) -> None:
    assert set(BOOK.select(left + right)) == set(BOOK.select(left)) | set(BOOK.select(right))


# ---------------------------------------------------------------- its digest


def test_the_digest_ignores_form_and_sees_content(copy: Path) -> None:
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", BOOK.digest)
    path = copy / "wmk.toml"
    path.write_text("# another comment\n" + path.read_text(encoding="utf-8").replace("\n[[rule]]", "\n\n[[rule]]"), encoding="utf-8")
    change(copy / "ambiguities.toml", "Sizes of the pool tiers", "The sizes of the pool tiers")
    assert rulebook.read(copy).digest == BOOK.digest
    change(path, "Pressure begins exactly", "Pressure starts exactly")
    assert rulebook.read(copy).digest != BOOK.digest


# ---------------------------------------------------------------- what it refuses


def test_a_file_that_is_not_toml_is_one_error_with_its_line(copy: Path) -> None:
    (copy / "wmk.toml").write_text('[[rule]]\nid = "WMK-001\n', encoding="utf-8")
    (found,) = problems(copy)
    assert found.startswith("wmk.toml: cannot be read: ")
    assert "line 2" in found


def test_a_missing_file_is_an_error(copy: Path) -> None:
    (copy / "oci.toml").unlink()
    assert problems(copy) == ("oci.toml: cannot be read: No such file or directory",)


def test_a_file_of_no_area_is_an_error(copy: Path) -> None:
    (copy / "wmq.toml").write_text("", encoding="utf-8")
    (found,) = problems(copy)
    assert found.startswith("wmq.toml: belongs to no area")


def test_bytes_that_are_no_text_and_files_without_end_are_refused(copy: Path) -> None:
    (copy / "wmk.toml").write_bytes(b"\xff\xfe")
    (copy / "ord.toml").write_bytes(b"#" * (rulebook.LARGEST + 1))
    found = problems(copy)
    assert [problem.partition(":")[0] for problem in found] == ["wmk.toml", "ord.toml"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'level = "MUST"',
            'level = "SHALL"',
            "WMK-001: level: Invalid enum value 'SHALL'; allowed are MUST, MUST NOT, SHOULD, SHOULD NOT, MAY",
        ),
        ('facet = "streams"', 'facet = "stream"', "WMK-001: facet: Invalid enum value 'stream'; allowed are resources, streams, "),
        ('severity = "availability"', "severity = 3", "WMK-001: severity: Expected `str`, got `int`; allowed are data-loss, "),
        ('severity = "availability"', 'sevrity = "availability"', "WMK-001: unknown key 'sevrity'; did you mean 'severity'?"),
        ('severity = "availability"\n', "", "WMK-001: severity is missing"),
        ('area = "WMK"', 'area = "OWN"', "WMK-001: area is OWN, but the id begins with WMK"),
        ('profile = "stream"', 'profile = "core"', "WMK-001: profile is core; the area's is stream"),
        ('id = "WMK-001"', 'id = "WMK-1"', "WMK-1: id: Expected `str` matching regex"),
        ('id = "WMK-001"', 'id = "WMK-016"', "WMK-016: not an id of the specification"),
        ('id = "WMK-001"\n', "", "rule number 1: id is missing"),
        ('testability = "black-box"', 'testability = "untestable"', "WMK-001: why is given exactly if testability is not black-box"),
        (
            'testability = "black-box"',
            'testability = "needs-capability"\nwhy = "x"',
            "WMK-001: testability is needs-capability exactly if a capability is given",
        ),
        ("adrs = [15]", "adrs = [15, 15]", "WMK-001: adrs names something twice"),
        ("adrs = [15]", "adrs = [0]", "WMK-001: adrs: Expected `int` >= 1 - at `$[0]`"),
        ("A stream MUST become Active", "A stream becomes Active", "WMK-001: text does not contain its level, MUST"),
        ('title = "Pressure begins', f'title = "{"x" * 71}', "WMK-001: title: Expected `str` of length <= 70"),
        ("[[rule]]", "[rules]\nx = 1\n[[rule]]", "unknown table 'rules'; the file holds only [[rule]]"),
    ],
)
def test_each_mistake_is_named_with_file_rule_and_field(copy: Path, old: str, new: str, message: str) -> None:
    change(copy / "wmk.toml", old, new)
    found = problems(copy)
    assert any(problem.startswith(f"wmk.toml: {message}") for problem in found), found


def test_a_single_table_is_not_an_array_of_tables(copy: Path) -> None:
    (copy / "wmk.toml").write_text('[rule]\nid = "WMK-001"\n', encoding="utf-8")
    assert problems(copy) == ("wmk.toml: rule must be an array of tables, written [[rule]]",)
    (copy / "wmk.toml").write_text("rule = [1]\n", encoding="utf-8")
    assert problems(copy) == ("wmk.toml: rule number 1: must be a table",)


def test_all_mistakes_of_all_files_are_reported_together(copy: Path) -> None:
    change(copy / "wmk.toml", 'level = "MUST"', 'level = "SHALL"')
    change(copy / "wmk.toml", 'severity = "availability"\n', "")
    change(copy / "own.toml", 'facet = "resources"', 'facet = "things"')
    change(copy / "ambiguities.toml", 'title = "Sizes of the pool tiers"\n', "")
    with pytest.raises(RulebookError) as caught:
        rulebook.read(copy)
    assert len(caught.value.problems) == 4
    assert str(caught.value).startswith("the rulebook has 4 mistakes:\n  own.toml: OWN-001: facet: ")
    assert "ambiguities.toml: D-01: title is missing" in caught.value.problems


def block(text: str, rule_id: str) -> str:
    start = text.index(f'[[rule]]\nid = "{rule_id}"')
    end = text.find("\n[[rule]]", start)
    return text[start : end if end >= 0 else len(text)]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text.replace(block(text, "WMK-003"), ""), "WMK-003: missing"),
        (lambda text: text + "\n" + block(text, "WMK-003"), "WMK-003: defined 2 times"),
        (lambda text: text.replace('ambiguity = ["K-01"]', 'ambiguity = ["K-99"]'), "WMK-002: ambiguity K-99 is not in the ledger"),
        (lambda text: text.replace('ambiguity = ["K-01"]', 'ambiguity = ["K-02"]'), "WMK-002: cites K-02, which does not name it"),
        (
            lambda text: text.replace('ambiguity = ["K-01"]\n', ""),
            "ambiguities.toml: K-01: names WMK-002, which does not cite it",
        ),
    ],
)
def test_rules_are_complete_unique_and_agree_with_the_ledger(copy: Path, edit: Callable[[str], str], message: str) -> None:
    path = copy / "wmk.toml"
    before = path.read_text(encoding="utf-8")
    path.write_text(edit(before), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != before
    assert message in problems(copy)


def test_a_ledger_entry_for_a_rule_that_does_not_exist_is_an_error(copy: Path) -> None:
    change(copy / "ambiguities.toml", 'rules = ["POOL-013"]', 'rules = ["POOL-013", "POOL-019"]')
    assert problems(copy) == ("ambiguities.toml: D-03: rule POOL-019 does not exist",)


def test_a_doubled_ledger_entry_is_an_error(copy: Path) -> None:
    change(copy / "ambiguities.toml", 'id = "D-02"', 'id = "D-50"')
    assert "ambiguities.toml: D-50: defined 2 times" in problems(copy)
