"""The decision records are data: they parse, they are complete, and what they point at exists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tomli

from conformance import rulebook

ROOT = Path(__file__).resolve().parents[2]
ADR = ROOT / "docs" / "adr"
RULE = re.compile(r"\b(?:OWN|POOL|BUF|BUDGET|COPY|FLOW|CREDIT|WMK|POLICY|SCHED|ORD|ERR|CANCEL|TOPO|CAP|CON|LINK|CFG|OCI|OBS|CLI)-\d{3}\b")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SECTIONS = (
    "Status",
    "Decision",
    "Why",
    "Alternatives considered",
    "Trade-offs accepted",
    "What this project takes from it",
    "Rules that check it",
)
RFC_SECTIONS = (
    "Decision",
    "Context",
    "Rationale",
    "Alternatives Rejected",
    "Trade-offs Accepted",
    "Rules changed",
    "Compatibility",
)
FROM_TORVYN = 15
"""ADR-001 to ADR-015 are upstream's decisions; each of them must be visible in the behaviour of a runtime."""


@dataclass(frozen=True, slots=True)
class Record:
    path: Path
    front: dict[str, Any]
    body: str

    @property
    def number(self) -> int:
        return int(self.path.name[:3])

    @property
    def sections(self) -> dict[str, str]:
        parts = re.split(r"^## (.+)\n", self.body, flags=re.MULTILINE)
        return dict(zip(parts[1::2], parts[2::2], strict=True))


@cache
def records() -> tuple[Record, ...]:
    found = []
    for path in sorted(ADR.glob("[0-9]*.md")):
        empty, front, body = path.read_text(encoding="utf-8").split("+++\n", 2)
        assert empty == "", f"{path.name} does not start with front matter"
        found.append(Record(path, tomli.loads(front), body))
    return tuple(found)


def owned_documents() -> list[Path]:
    return [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "design.md", *ADR.glob("*.md"), *(ROOT / "docs" / "rfcs").glob("*.md")]


def anchors(path: Path) -> set[str]:
    """Return the anchors that Markdown renderers give to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


each_record = pytest.mark.parametrize("record", records(), ids=lambda record: record.front["id"])
each_document = pytest.mark.parametrize("path", owned_documents(), ids=lambda path: str(path.relative_to(ROOT)))


def test_numbers_have_no_gap_and_no_double() -> None:
    assert [record.number for record in records()] == list(range(1, len(records()) + 1))
    assert len(records()) >= FROM_TORVYN


def test_the_index_lists_exactly_the_records_in_order() -> None:
    rows = re.findall(r"^\| \[(ADR-\d{3})\]\(([^)]+)\) \| (.+?) \| (.+?) \|$", (ADR / "README.md").read_text("utf-8"), re.MULTILINE)
    expected = [
        (
            record.front["id"],
            record.path.name,
            record.front["title"],
            str(len(record.front["rules"]) or "none: a decision about the suite"),
        )
        for record in records()
    ]
    assert rows == expected


@each_record
def test_front_matter_is_complete_and_agrees_with_the_file(record: Record) -> None:
    front = record.front
    assert set(front) - {"guards"} == {"id", "title", "status", "date", "rules"}
    assert front["id"] == f"ADR-{record.number:03d}"
    assert f"# {front['id']}: {front['title']}\n" in record.body
    assert re.fullmatch(r"proposed|accepted|superseded by ADR-\d{3}", front["status"])
    assert date.fromisoformat(front["date"]).isoformat() == front["date"]


@each_record
def test_every_section_is_there_and_says_something(record: Record) -> None:
    assert tuple(record.sections) == SECTIONS
    assert [name for name, text in record.sections.items() if not text.strip()] == []
    assert record.sections["Status"].strip().lower().startswith(record.front["status"])


@each_record
def test_the_last_section_names_exactly_the_rules_of_the_front_matter(record: Record) -> None:
    assert RULE.findall(record.sections["Rules that check it"]) == record.front["rules"]
    assert len(set(record.front["rules"])) == len(record.front["rules"])


@each_record
def test_a_decision_is_served_by_a_rule_or_guarded_by_something_that_exists(record: Record) -> None:
    if record.number <= FROM_TORVYN:
        assert record.front["rules"]
    guards = record.front.get("guards", [])
    assert record.front["rules"] or guards
    for guard in guards:
        path, _, text = guard.partition("#")
        assert text in (ROOT / path).read_text(encoding="utf-8"), f"{guard}: the file no longer says so"
        assert text


@each_document
def test_every_rule_that_a_document_names_is_in_the_rulebook(path: Path) -> None:
    book = rulebook.load()
    text = path.read_text(encoding="utf-8")
    assert [rule for rule in sorted(set(RULE.findall(text))) if book.get(rule) is None] == []


@each_document
def test_every_link_in_a_document_leads_somewhere(path: Path) -> None:
    dead = []
    for target in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = (path.parent / file).resolve() if file else path
        if not place.exists() or (anchor and anchor not in anchors(place)):
            dead.append(target)
    assert dead == []


def test_every_superseded_record_names_a_record_that_exists() -> None:
    known = {record.front["id"] for record in records()}
    superseding = {r.front["status"].removeprefix("superseded by ") for r in records() if r.front["status"].startswith("superseded")}
    assert superseding <= known


def test_the_template_has_the_sections_that_an_rfc_must_have() -> None:
    template = (ROOT / "docs" / "rfcs" / "0000-template.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^## (.+)$", template, re.MULTILINE)) == RFC_SECTIONS


def test_the_design_guide_shows_every_room_and_invents_none() -> None:
    guide = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^\| `((?:torvyn_ref|conformance)/\w+)` \|", guide, re.MULTILINE))
    coming = set(re.findall(r"`((?:torvyn_ref|conformance)/\w+)`", guide.partition("Rooms to come:")[2].partition("\n\n")[0]))
    built = {
        f"{package}/{folder.name}"
        for package in ("torvyn_ref", "conformance")
        for folder in (ROOT / package).iterdir()
        if folder.is_dir() and any(file.suffix in {".py", ".toml"} for file in folder.iterdir())
    }
    assert shown == built
    assert not coming & built
