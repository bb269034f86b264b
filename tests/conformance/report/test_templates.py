"""What keeps every page safe, whatever it shows: no escape is switched off, nothing is fetched, nothing runs but the page's own script."""

import re

import jinja2
import pytest

from conformance.report.page import TEMPLATES, embedded, environment, page

FILES = sorted(path for path in TEMPLATES.iterdir() if path.is_file())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_template_switches_escaping_off_or_asks_for_anything(file):
    text = file.read_text(encoding="utf-8")
    for pattern in (
        r"\|\s*safe\b",
        r"autoescape\s+false",
        r"\bMarkup\b",
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b",
    ):
        assert not re.search(pattern, text), f"{file.name} has {pattern}"
    for pattern in (r"<[^>]*\sstyle=", r"<[^>]*\son[a-z]+=", r"\bsrc=", r"@import", r"url\((?!#)"):
        assert not re.search(pattern, text), f"{file.name} has {pattern}"
    addresses = set(re.findall(r"https?://[^\s\"']+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_a_value_that_was_forgotten_is_an_error_and_not_an_empty_place():
    with pytest.raises(jinja2.UndefinedError):
        page("report.html", title="t")


def test_values_are_escaped_in_every_template():
    environment_ = environment()
    assert all(environment_.from_string("{{ x }}").render(x=x) == "&lt;b&gt;" for x in ("<b>",))
    assert environment_.autoescape is True


def test_embedded_data_cannot_leave_its_element():
    shown = str(embedded({"</script>": "<!--\u2028]]>&"}))
    assert not set(shown) & set("<>&\u2028")
