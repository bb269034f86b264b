"""The page of a component validation in a real browser."""

import msgspec
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from conformance.components.manifest import find_targets
from conformance.components.model import Wishes
from conformance.components.validate import validate
from conformance.components.written import component_html
from conformance.subjects.connect import Connection, find
from tests.conformance.components.conftest import CORPUS
from tests.conformance.report.conftest import HOSTILE


@pytest.fixture(scope="module")
def broken():
    """What is found in a component that keeps what it was lent."""
    connection = Connection(find("reference"))
    try:
        targets = find_targets(str(CORPUS / "components/leak-borrow.wasm"))
        return validate(targets, connection, Wishes(checks=("binary", "elements")))
    finally:
        connection.close()


@pytest.fixture
def sound(broken):
    """The same, as if nothing had been found."""
    component = msgspec.structs.replace(broken.components[0], findings=(), verdict="conformant")
    return msgspec.structs.replace(broken, verdict="conformant", findings=(), components=(component,), reasons=())


@pytest.fixture
def two(broken):
    """A project with two components, every word of which is an attack."""
    finding = msgspec.structs.replace(broken.findings[0], message=HOSTILE, found=HOSTILE, where=HOSTILE, reproduce=HOSTILE)
    facts = msgspec.structs.replace(broken.components[0].facts, imports=(HOSTILE * 5,), producers=(HOSTILE,))
    one = msgspec.structs.replace(broken.components[0], component=HOSTILE, findings=(finding,), facts=facts)
    other = msgspec.structs.replace(one, component="other", findings=(finding, finding))
    return msgspec.structs.replace(broken, target=HOSTILE, findings=(finding,) * 3, components=(one, other), reasons=(HOSTILE,))


def press(page, *keys):
    page.switch_to.active_element.send_keys(*keys)


def test_the_verdict_comes_first_and_the_finding_has_all_that_is_needed(visit, broken):
    page = visit(component_html(broken))
    assert "Not conformant" in page.find_element(By.TAG_NAME, "h1").text
    assert "leak-borrow" in page.find_element(By.ID, "verdict").text
    shown = page.find_element(By.ID, "findings-1").text
    (finding,) = broken.components[0].findings
    for words in ("OWN-021", finding.message, finding.reproduce, "borrow handles still remain", "MUST end when the call returns"):
        assert words in shown
    assert "elements" in page.find_element(By.ID, "checks-1").text


def test_a_component_without_findings_has_no_section_for_them(visit, sound):
    page = visit(component_html(sound))
    assert "Conformant" in page.find_element(By.TAG_NAME, "h1").text
    assert page.find_elements(By.CSS_SELECTOR, "[id^=findings-]") == []


def test_all_of_it_is_reached_with_the_keyboard(visit, broken):
    page = visit(component_html(broken))
    press(page, Keys.TAB)
    assert page.execute_script("return document.activeElement.className") == "skip"
    outline = page.execute_script("const s = getComputedStyle(document.activeElement); return [s.outlineStyle, parseFloat(s.outlineWidth)]")
    assert outline[0] == "solid"
    assert outline[1] >= 2
    operated = page.execute_script("return document.querySelectorAll('main button, main summary').length")
    met = set()
    for _ in range(40):
        press(page, Keys.TAB)
        met.add(page.execute_script("const e = document.activeElement; return e.matches('main button, main summary') ? e.outerHTML : ''"))
    assert len(met - {""}) == operated > 0


def test_the_line_that_shows_it_again_is_copied_or_selected(visit, broken):
    page = visit(component_html(broken))
    button = page.find_element(By.CSS_SELECTOR, ".copy")
    button.send_keys(Keys.ENTER)
    assert page.execute_async_script(
        "const done = arguments[1], b = arguments[0];"
        "const look = () => b.textContent === 'Copied' || b.textContent === 'Selected' ? done(true) : requestAnimationFrame(look); look();",
        button,
    )


@pytest.mark.parametrize("which", ["broken", "two"])
def test_nothing_is_wider_than_a_phone(visit, request, which):
    page = visit(component_html(request.getfixturevalue(which)), width=360, height=740)
    page.execute_script("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    assert page.execute_script("return document.body.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["broken", "sound"])
def test_words_stand_out_from_their_background(visit, request, which, scheme, contrast):
    page = visit(component_html(request.getfixturevalue(which)), media={"prefers-color-scheme": scheme}.items())
    assert page.execute_script(contrast) == [], "WCAG AA asks for 4.5 to 1"


def test_hostile_words_are_shown_and_never_run_and_places_are_unique(visit, two):
    page = visit(component_html(two))
    assert page.execute_script("return window.pwned") is None
    assert page.find_elements(By.CSS_SELECTOR, "img, main script, main style, iframe") == []
    assert "<script>window.pwned=1</script>" in page.find_element(By.ID, "findings-1").text
    ids = page.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_the_page_can_be_read_without_its_script(visit, broken):
    page = visit(component_html(broken).split(b"<script>", 1)[0] + b"</body></html>")
    assert "Not conformant" in page.find_element(By.TAG_NAME, "h1").text
    assert broken.findings[0].message in page.find_element(By.ID, "findings-1").text
