"""A run with every outcome, by a subject that means harm."""

import json
import os
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from conformance.checks import Registry
from conformance.execute import CheckResult, Finding
from conformance.plan import make_plan
from conformance.report.json import build
from conformance.rulebook import load
from conformance.subjects.protocol import Declaration, Facet, FacetClaim
from conformance.verdict import Outcome, judge

HOSTILE = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=2>\"'&]]>\x00\x1b[2J\u202e\u2028\uffff"
"""Markup, quotes, the end of a CDATA section, a control sequence, a right-to-left override, a line separator, no character."""

RULES = ("WMK-001", "WMK-002", "WMK-003", "CREDIT-001", "CREDIT-002", "CREDIT-003", "OWN-001", "OWN-002")
OUTCOMES = (
    Outcome.PASS,
    Outcome.FAIL,
    Outcome.FLAKY,
    Outcome.INCONCLUSIVE,
    Outcome.TIMEOUT,
    Outcome.CRASH,
    Outcome.ERROR,
    Outcome.PASS,
)


def check(subject, budget):
    """Do nothing."""


def finding(rule, outcome, text):
    words = {"expected": f"low mark {text}", "found": f"high mark {text}", "evidence": {"steps": [{"op": "streams.open", "x": text}]}}
    return Finding(
        rule=rule,
        check="all-of-them",
        outcome=outcome,
        evaluations=3,
        message="" if outcome is Outcome.PASS else f"what happened {text}",
        transcript=(text,),
        detail=text,
        **(words if outcome is Outcome.FAIL else {}),
    )


@pytest.fixture
def make_report():
    """Make the report of a run in which the rules came to these outcomes."""

    def make(outcomes=OUTCOMES, text="", rules=RULES):
        book = load()
        registry = Registry()
        registry.checks(*rules, facet=Facet.STREAMS, kind="example", name="all-of-them")(check)
        declaration = Declaration(
            f"subject {text}", "1", 1, (FacetClaim(Facet.STREAMS, capabilities=(f"x={text}",)),), unsupported={"flows": text}
        )
        plan = make_plan(book, registry, declaration)
        findings = tuple(finding(rule, outcome, text) for rule, outcome in zip(rules, outcomes, strict=True))
        coverage = {"streams": {"block-producer, normal: push": 7, "block-producer, normal: pop": 1}}
        results = [CheckResult("all-of-them", findings, 0.8, coverage)]
        return build(book, plan, f"stdio:./adapter {text}", results, judge(book, plan, findings))

    return make


@pytest.fixture
def report(make_report):
    """A report with every outcome that a check can have."""
    return make_report()


@pytest.fixture
def hostile_report(make_report):
    """The same, from a subject whose every word is an attack."""
    return make_report(text=HOSTILE)


@pytest.fixture(scope="session")
def chromium():
    """Debian's Chromium without a window, driven through its own driver; it may look at files and at nothing else."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        if os.environ.get("CI"):
            pytest.fail("chromium and chromium-driver are missing; .ci/run installs them", pytrace=False)
        pytest.skip("Debian's chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for switch in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "host-resolver-rules=MAP * ~NOTFOUND"):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    yield browser
    browser.quit()


@pytest.fixture
def visit(chromium, tmp_path):
    """Show a page, and find no fault with it in the end: no error, no message, no request but for the file itself."""

    def visit_(html, *, width=1200, height=900, media=()):
        file = tmp_path / "page.html"
        file.write_bytes(html)
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": name, "value": value} for name, value in {"prefers-reduced-motion": "reduce", **dict(media)}.items()]
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        chromium.get("about:blank")
        chromium.get_log("browser"), chromium.get_log("performance")
        chromium.get(file.as_uri())
        return chromium

    yield visit_
    assert chromium.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    asked = {each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"}
    assert {url.partition("#")[0] for url in asked} <= {(tmp_path / "page.html").as_uri()}


CONTRAST = """
const light = (c) => c.map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; })
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
const rgb = (color, below) => {
  canvas.fillStyle = `rgb(${below})`; canvas.fillRect(0, 0, 1, 1);
  canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const behind = (element) => {
  const colours = [];
  for (let e = element; e; e = e.parentElement) colours.push(getComputedStyle(e).backgroundColor);
  return colours.reverse().reduce((below, colour) => rgb(colour, below), [255, 255, 255]);
};
const thin = new Set();
for (const element of document.querySelectorAll('main *, header *, footer *')) {
  const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || !element.checkVisibility() || element.closest('svg, option, .sr')) continue;
  const below = behind(element), text = rgb(getComputedStyle(element).color, below);
  const [a, b] = [light(below), light(text)].sort((x, y) => y - x);
  const ratio = (a + .05) / (b + .05);
  if (ratio < 4.5) thin.add(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
}
return [...thin];
"""


@pytest.fixture
def contrast():
    """A script that returns the elements whose words have less than 4.5 to 1 of contrast (WCAG AA)."""
    return CONTRAST
