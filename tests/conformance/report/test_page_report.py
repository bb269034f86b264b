"""The HTML report in a real browser: it can be read, filtered and walked through, and what a subject says stays text."""

import json

import pytest
from msgspec.structs import replace
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from conformance.claims import Claim, ClaimFinding
from conformance.mutants import zoo
from conformance.report.html import html
from conformance.report.json import KnownLine
from conformance.report.killmatrix import decode_kills
from conformance.verdict import Outcome

KILLS = {
    "total": 2,
    "killed": 1,
    "mutants": [
        {
            "name": "stays-active",
            "summary": "never resumes",
            "breaks": ["WMK-002"],
            "killed": True,
            "killed_by": ["WMK-002"],
            "kills": [{"rule": "WMK-002", "check": "off-at-the-low-mark", "how": "drawn", "examples": 7, "seconds": 0.1, "message": "m"}],
            "seconds": 0.25,
        },
        {"name": "survivor", "breaks": ["WMK-001"], "killed": False, "spared_by": ["WMK-001"]},
    ],
    "problems": ["1 mutant survived"],
}


@pytest.fixture
def page(visit, report):
    """The report of a run with every outcome."""
    return visit(html(report, decode_kills(json.dumps(KILLS).encode())))


def rows(page):
    return [each.get_attribute("id") for each in page.find_elements(By.CSS_SELECTOR, ".rule") if each.is_displayed()]


def press(page, *keys):
    page.switch_to.active_element.send_keys(*keys)


def focused(page):
    return page.execute_script("const e = document.activeElement; return e.closest('.rule')?.id ?? e.dataset.rule ?? e.id")


def chip(page, outcome):
    return page.find_element(By.CSS_SELECTOR, f'.chip[data-outcome="{outcome}"]')


def test_the_verdict_comes_first(page):
    assert page.find_element(By.TAG_NAME, "h1").text == "No result"  # the suite itself failed in this run
    assert page.title.startswith("Not conformant: subject")
    order = [each.get_attribute("id") for each in page.find_elements(By.CSS_SELECTOR, "main > [id]")]
    assert order == ["verdict", "profiles", "failures", "rules", "mutants", "coverage", "meaning", "provenance"]


def test_a_failure_has_its_whole_explanation(page):
    card = next(each for each in page.find_elements(By.CSS_SELECTOR, ".finding") if "WMK-002" in each.text)
    if not card.get_attribute("open"):
        card.find_element(By.TAG_NAME, "summary").click()
    for words in (
        "what happened",
        "low mark",
        "high mark",
        "1. streams.open(x=)",
        "The producer resumes too late",
        "torvyn-conformance run",
    ):
        assert words in card.text


def test_a_counterexample_that_was_kept_is_linked_and_a_link_leads_to_a_file_only(visit, report, tmp_path):
    traces = ["traces/a.jsonl", "javascript:window.pwned=1//.jsonl", "https://example.invalid/x.jsonl", '"><script>window.pwned=2</script>']
    failures = tuple(replace(failure, trace=trace) for failure, trace in zip(report.failures, traces, strict=False))
    page = visit(html(replace(report, failures=failures), folder=tmp_path / "reports"))
    links = [each.get_attribute("href") for each in page.find_elements(By.CSS_SELECTOR, ".travel")]
    assert len(links) == len(traces)
    assert all(link.startswith("file:///") for link in links)
    assert links[0].endswith("/traces/a.html")


def test_every_rule_is_there_and_filters_narrow_both_list_and_map(page, report):
    assert len(rows(page)) == len(report.rules) == 477
    chip(page, "fail").click()
    assert rows(page) == ["WMK-002"]
    assert page.find_element(By.ID, "count").text == "1 of 477 rules"
    assert len(page.find_elements(By.CSS_SELECTOR, "a.sq:not(.dim)")) == 1
    chip(page, "crash").click()
    assert rows(page) == ["CREDIT-003", "WMK-002"]
    page.find_element(By.ID, "area").send_keys("CREDIT")
    assert rows(page) == ["CREDIT-003"]
    page.find_element(By.ID, "reset").click()
    assert len(rows(page)) == 477


def test_the_level_and_the_words_filter_too(page, report):
    page.find_element(By.ID, "level").send_keys("MAY")
    assert rows(page) == [rule.id for rule in report.rules if rule.level == "MAY"]
    page.find_element(By.ID, "reset").click()
    page.find_element(By.ID, "text").send_keys("low WATERMARK")
    assert "WMK-004" in rows(page)
    assert "OWN-001" not in rows(page)
    page.find_element(By.ID, "text").send_keys(" nothing has these words")
    assert rows(page) == []
    assert page.find_element(By.ID, "none").is_displayed()
    press(page, Keys.ESCAPE)
    assert len(rows(page)) == 477


def test_all_of_it_works_with_the_keyboard_alone(page):
    press(page, Keys.TAB)
    assert page.execute_script("return document.activeElement.className") == "skip"
    press(page, Keys.ENTER)
    press(page, "/")
    assert focused(page) == "text"
    press(page, "WMK-00")
    assert len(rows(page)) == 9
    for _ in range(3):
        press(page, Keys.TAB)
    outcome = page.execute_script("return document.activeElement.dataset.outcome")
    press(page, Keys.SPACE)
    assert chip(page, outcome).get_attribute("aria-pressed") == "true"
    press(page, Keys.SPACE)
    while not page.execute_script("return document.activeElement.matches('.rule summary')"):
        press(page, Keys.TAB)
    assert focused(page) == "WMK-001"
    press(page, Keys.ARROW_DOWN)
    assert focused(page) == "WMK-002"
    press(page, Keys.ENTER)
    assert page.find_element(By.ID, "WMK-002").get_attribute("open")
    press(page, Keys.END)
    assert focused(page) == "WMK-009"
    press(page, Keys.HOME)
    assert focused(page) == "WMK-001"


def test_many_equal_things_are_one_stop_of_the_tab_key(page):
    stops = "return [...document.querySelectorAll(arguments[0])].filter(e => e.tabIndex === 0).length"
    assert page.execute_script(stops, "a.sq") == 1
    assert page.execute_script(stops, ".rule summary") == 1
    page.execute_script("document.querySelector('.sq').focus()")
    press(page, Keys.ARROW_RIGHT)
    assert focused(page) == "OWN-002"
    press(page, Keys.ENTER)
    assert page.find_element(By.ID, "OWN-002").get_attribute("open")
    assert focused(page) == "OWN-002", "the map leads to the rule's line"


def test_focus_can_be_seen(page):
    press(page, Keys.TAB)
    outline = page.execute_script("const s = getComputedStyle(document.activeElement); return [s.outlineStyle, parseFloat(s.outlineWidth)]")
    assert outline[0] == "solid"
    assert outline[1] >= 2


def test_what_can_be_operated_has_a_name(page):
    nameless = page.execute_script(
        "return [...document.querySelectorAll('button, input, select, a, [role=region], svg[role=img], nav')]"
        ".filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || document.querySelector(`label[for='${e.id}']`)))"
        ".map(e => e.outerHTML)"
    )
    assert nameless == []
    ids = page.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_background(visit, report, scheme, contrast):
    page = visit(html(report), media={"prefers-color-scheme": scheme}.items())
    thin = page.execute_script(contrast)
    assert thin == [], "WCAG AA asks for 4.5 to 1"


def test_nothing_is_wider_than_a_phone(visit, hostile_report):
    page = visit(html(hostile_report, decode_kills(json.dumps(KILLS).encode())), width=360, height=740)
    page.execute_script("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    assert page.execute_script("return document.body.scrollWidth") <= 360


def test_motion_is_off_for_who_wants_none(visit, report):
    page = visit(html(report), media={"prefers-reduced-motion": "reduce"}.items())
    assert page.execute_script("return getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    assert page.execute_script("return getComputedStyle(document.querySelector('.chip')).transitionDuration") == "0s"


def test_hostile_words_are_shown_and_never_run(visit, hostile_report):
    kills = json.dumps(
        {"total": 1, "killed": 0, "mutants": [{"name": "</td><script>window.pwned=4</script>", "breaks": ["<b>"], "killed": False}]}
    )
    page = visit(html(hostile_report, decode_kills(kills.encode())))
    page.execute_script("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    assert page.execute_script("return window.pwned") is None
    assert page.find_elements(By.CSS_SELECTOR, "img, main script, main style, iframe") == []
    assert "</script><script>window.pwned=1</script>" in page.find_element(By.CSS_SELECTOR, ".happened").text


def test_markup_that_got_through_could_neither_run_nor_load(visit, report):
    file = html(report).replace(
        b"</main>", b"<script>window.pwned=1</script><img src='https://example.invalid/x.png' onerror='window.pwned=2'></main>"
    )
    page = visit(file)
    assert page.execute_script("return window.pwned") is None
    blocked = [entry["message"] for entry in page.get_log("browser")]
    assert len(blocked) == 3, "the page's own policy has refused the script, the picture and its handler"
    assert all("Content Security Policy" in message for message in blocked)
    page.get_log("performance")  # that the picture was asked for and refused is what this test is about


def test_the_page_can_be_read_without_its_script(visit, report):
    page = visit(html(report).split(b"<script>", 1)[0] + b"</body></html>")
    assert "No result" in page.find_element(By.TAG_NAME, "h1").text
    assert not page.find_element(By.CSS_SELECTOR, ".filters").is_displayed(), "what needs the script is not shown"
    assert len(rows(page)) == 477


@pytest.mark.parametrize(
    ("verdict", "code", "headline"),
    [("conformant", 0, "Conformant"), ("not-conformant", 1, "Not conformant"), ("indeterminate", 2, "Indeterminate")],
)
def test_each_verdict_has_its_headline(visit, report, verdict, code, headline):
    page = visit(html(replace(report, verdict=verdict, exit_code=code)))
    assert page.find_element(By.TAG_NAME, "h1").text == headline


def test_claims_needs_and_known_failures_are_shown(visit, report):
    claims = (ClaimFinding(kind=Claim.OVER, operation="streams.push", message="declines what it claims"),)
    known = KnownLine(file="known.toml", unexpected=("WMK-002 failed",), stale=("WMK-009 passes",), expired=())
    page = visit(html(replace(report, claims=claims, known=known, needs={"stream": ("3 binding rules fail",)})))
    assert "declines what it claims" in page.find_element(By.ID, "claims").text
    assert "new\nWMK-002 failed\nstale\nWMK-009 passes" in page.find_element(By.ID, "known").text
    assert "3 binding rules fail" in page.find_element(By.ID, "profiles").text


def test_survivors_come_first_in_the_kill_matrix(page):
    lines = [each.text for each in page.find_elements(By.CSS_SELECTOR, ".kills tbody tr")]
    assert lines[0].startswith("survivor WMK-001")
    assert "survived: WMK-001 unnoticed" in lines[0]
    for words in ("off-at-the-low-mark", "never resumes", "drawn", "7 0.25 s"):
        assert words in lines[1]
    assert "1 mutant survived" in page.find_element(By.ID, "mutants").text
    assert "1 of 2 seeded faults found" in page.find_element(By.ID, "mutants").text


AT_ITS_END = """
const [region, done] = arguments;
const atItsEnd = () => region.scrollTop + region.clientHeight >= region.scrollHeight - 2;
const look = () => atItsEnd() ? done(true) : requestAnimationFrame(look);
setTimeout(() => done(atItsEnd()), 3000);
look();
"""
"""Looks with every frame; after three seconds with none, or with a key press that got lost, it says how things are."""


@pytest.fixture(scope="module")
def whole_zoo():
    """A matrix with every mutant of the zoo, each killed for what it breaks, and one that is not."""
    mutants = [
        {
            "name": each.name,
            "summary": each.summary,
            "breaks": list(each.rules),
            "killed": number > 0,
            "killed_by": list(each.rules) if number else [],
            "spared_by": [] if number else list(each.rules),
            "kills": [{"rule": rule, "check": "a-check-with-a-long-name", "how": "drawn", "examples": 9} for rule in each.rules if number],
        }
        for number, each in enumerate(zoo.all_mutants())
    ]
    return {"total": len(mutants), "killed": len(mutants) - 1, "mutants": mutants, "problems": ["one survives"]}


@pytest.mark.parametrize("width", [360, 1200])
def test_the_whole_zoo_fits_on_the_page_with_every_mutant_in_map_and_list(visit, report, whole_zoo, width, contrast):
    page = visit(html(report, decode_kills(json.dumps(whole_zoo).encode())), width=width, height=740)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    section = page.find_element(By.ID, "mutants")
    assert f"{whole_zoo['killed']} of {whole_zoo['total']} seeded faults found" in section.text
    names = [each.get_attribute("textContent") for each in section.find_elements(By.CSS_SELECTOR, ".kills tbody th .mono")]
    assert sorted(names) == sorted(each["name"] for each in whole_zoo["mutants"])
    assert names[0] == whole_zoo["mutants"][0]["name"], "the survivor comes first"
    assert len(section.find_elements(By.CSS_SELECTOR, ".squares .sq.o-fail")) == 1
    assert len(section.find_elements(By.CSS_SELECTOR, ".squares .sq")) == whole_zoo["total"]
    assert page.execute_script(contrast) == []


@pytest.mark.parametrize("width", [360, 1200])
def test_the_kill_matrix_is_walked_through_with_the_keyboard(visit, report, whole_zoo, width):
    page = visit(html(report, decode_kills(json.dumps(whole_zoo).encode())), width=width, height=740)
    region = page.find_element(By.CSS_SELECTOR, "[aria-label='Kill matrix']")
    page.execute_script("arguments[0].focus()", region)
    assert page.execute_script("return document.activeElement === arguments[0]", region)
    for _ in range(5):  # a browser that has next to no processor loses a key now and then
        press(page, Keys.END)
        if page.execute_async_script(AT_ITS_END, region):
            return
    pytest.fail("the end key does not lead to the end of the matrix")


def test_a_run_without_failures_has_no_section_for_them(visit, make_report):
    page = visit(html(make_report(outcomes=(Outcome.PASS,), rules=("WMK-001",))))
    assert page.find_elements(By.ID, "failures") == []
