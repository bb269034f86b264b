"""The time-travel page in a real browser."""

import json
import re

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from conformance import cli
from conformance.report.timeline import timeline, violations
from conformance.subjects import protocol as p
from conformance.subjects.connect import Connection, find
from conformance.traces import events as e
from conformance.traces.file import Exchange, Header, Shows, Summary, TraceFile, encode, of_flow

FLOW = p.FlowSpec(
    stages=(
        p.StageSpec("numbers", "source", p.Script(tuple(p.Answer("emit") for _ in range(9)))),
        p.StageSpec("double", "processor"),
        p.StageSpec("end", "sink"),
    ),
    edges=(p.EdgeSpec("numbers", "double", capacity=4, low_watermark_ratio=0.25), p.EdgeSpec("double", "end", capacity=3)),
    schedule=p.Schedule("producer-first"),
)


def recorded(subject):
    connection = Connection(find(subject))
    try:
        reply = connection.session().ask(p.RunFlow(FLOW), p.FlowRunReply)
    finally:
        connection.close()
    return of_flow(Header(format=1, suite="torvyn-conformance 0", subject=subject, seed=0, flow=FLOW), reply)


@pytest.fixture(scope="module")
def broken():
    """What a stream does that turns its pressure off too early."""
    return recorded("mutant:no-hysteresis")


def at(page):
    return int(page.find_element(By.ID, "position").text.split()[0])


def press(page, *keys):
    page.switch_to.active_element.send_keys(*keys)


def test_monitors_pin_what_they_find_and_nothing_to_a_run_that_is_right(broken):
    pins = violations(broken)
    assert {pin.rule for pin in pins} >= {"WMK-002", "WMK-003"}
    event = broken.events[pins[0].at]
    assert isinstance(event, e.PressureChanged)
    assert not event.on
    assert violations(recorded("reference")) == []


def test_it_opens_at_the_violation_and_says_what_is_wrong(visit, broken):
    page = visit(timeline(broken, "x.jsonl"))
    assert page.find_element(By.TAG_NAME, "h1").text == "Pressure ends at the low watermark, not below it"
    assert at(page) == violations(broken)[0].at
    assert "goes off at depth 3" in page.find_element(By.ID, "said").text
    assert "breaks WMK-002, WMK-003" in page.find_element(By.CSS_SELECTOR, ".moment").text
    assert "3 of 4, credits 1" in page.find_element(By.ID, "situation").text
    assert "taken for double" in page.find_element(By.ID, "buffers").text
    assert len(page.find_elements(By.CSS_SELECTOR, ".flag")) == len(violations(broken))


def test_keys_go_back_and_forward_in_time(visit, broken):
    page = visit(timeline(broken))
    start, last = at(page), len(broken.events) - 1
    for key, place in [
        (Keys.ARROW_LEFT, start - 1),
        (Keys.ARROW_RIGHT, start),
        (Keys.SHIFT + Keys.ARROW_RIGHT, start + 10),
        (Keys.NULL + Keys.HOME, 0),
        (Keys.ARROW_LEFT, 0),
        ("n", start),
        (Keys.END, last),
        (Keys.ARROW_RIGHT, last),
    ]:
        press(page, key)
        assert at(page) == place
        assert page.find_element(By.CSS_SELECTOR, "#log [aria-current]").get_attribute("data-at") == str(place)
        assert page.find_element(By.ID, "cursor").get_attribute("x") == str(place * 20)
    press(page, "p")
    assert at(page) == max(pin.at for pin in violations(broken))


def test_buttons_slider_list_and_picture_do_the_same(visit, broken):
    page = visit(timeline(broken))
    start = at(page)
    page.find_element(By.ID, "back").click()
    assert at(page) == start - 1
    page.find_element(By.ID, "forward").click()
    page.find_element(By.ID, "forward").click()
    assert at(page) == start + 1
    slider = page.find_element(By.ID, "scrub")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert at(page) == start + 2
    assert slider.get_attribute("aria-valuetext").startswith(f"{start + 2}: ")
    page.find_element(By.ID, "first").click()
    assert at(page) == 0
    page.find_element(By.CSS_SELECTOR, '#log [data-at="3"]').click()
    assert at(page) == 3
    page.find_element(By.CSS_SELECTOR, ".goto").click()
    assert at(page) == start
    page.find_element(By.ID, "last").click()
    left, width = page.execute_script("const t = document.getElementById('track'); return [t.scrollLeft, t.clientWidth]")
    assert left <= at(page) * 20 <= left + width, "the picture follows the cursor"


def test_the_picture_has_a_lane_for_each_and_the_band_between_the_watermarks(visit, broken):
    page = visit(timeline(broken))
    labels = page.find_element(By.CSS_SELECTOR, ".labels").text.split()
    for word in ("flow", "numbers", "double", "end", "stream", "buffers"):
        assert word in labels
    bands = page.find_elements(By.CSS_SELECTOR, ".band")
    assert len(bands) == 2
    # Capacity 4, low 1: three quarters of the lane's height.
    floor = float(page.find_element(By.CSS_SELECTOR, ".floor").get_attribute("y1"))
    top, height = float(bands[0].get_attribute("y")), float(bands[0].get_attribute("height"))
    assert height == pytest.approx((floor - top) * 3 / 4, abs=0.2)
    assert page.find_elements(By.CSS_SELECTOR, ".holding.stream")
    assert page.find_elements(By.CSS_SELECTOR, ".active")


def test_a_phone_shows_all_of_it(visit, broken):
    page = visit(timeline(broken), width=360, height=740)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    page.find_element(By.ID, "forward").click()
    assert at(page) == violations(broken)[0].at + 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_background(visit, broken, scheme, contrast):
    page = visit(timeline(broken), media={"prefers-color-scheme": scheme}.items())
    assert page.execute_script(contrast) == []


HOSTILE = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=2>\"'&\x1b\u202e\u2028"


def test_hostile_words_in_a_trace_are_shown_and_never_run(visit):
    flow = p.FlowSpec(stages=(p.StageSpec(HOSTILE, "source"), p.StageSpec("end", "sink")), edges=(p.EdgeSpec(HOSTILE, "end"),))
    events = (
        e.StateChanged(old=HOSTILE, new=HOSTILE),
        e.Called(stage=HOSTILE, fn=HOSTILE, tag=HOSTILE, buffer=HOSTILE),
        e.BufferEvent(op="alloc", buffer=HOSTILE),
        e.Enqueued(stream=0, seq=0, depth=10**15, credits=-(10**15), buffer=HOSTILE),
        e.ErrorReported(stage=HOSTILE, kind=HOSTILE, action=HOSTILE, cause=HOSTILE),
        e.Done(state=HOSTILE, reason=HOSTILE, live=0, total=0, failure=HOSTILE),
    )
    shows = Shows(rule=HOSTILE, message=HOSTILE, expected=HOSTILE, found=HOSTILE, at=2)
    header = Header(format=1, suite=HOSTILE, subject=HOSTILE, flow=flow, shows=shows, note=HOSTILE)
    page = visit(timeline(TraceFile(header, events), HOSTILE))
    for _ in events:
        press(page, Keys.ARROW_LEFT)
    for number, _ in enumerate(events):
        assert at(page) == number
        press(page, Keys.ARROW_RIGHT)
    assert page.execute_script("return window.pwned") is None
    assert page.find_elements(By.CSS_SELECTOR, "img, main script, iframe") == []
    assert "</script><script>" in page.find_element(By.ID, "said").text


def test_a_conversation_can_be_travelled_too(visit):
    handle = p.Handle(0, 1)
    exchanges = (
        Exchange(request=p.Allocate("component-1", 8), reply=p.HandleReply(handle)),
        Exchange(request=p.Transfer(handle, "component-1", "transit"), reply=p.Done()),
        Exchange(request=p.Release(handle, "transit"), reply=p.Fault("not-owner")),
    )
    shows = Shows(rule="OWN-006", message="the release was refused", at=2)
    page = visit(timeline(TraceFile(Header(format=1, suite="x 1", subject="s", shows=shows), exchanges=exchanges)))
    assert at(page) == 2
    assert "transit" in page.find_element(By.ID, "buffers").text
    press(page, Keys.HOME)
    assert "component-1" in page.find_element(By.ID, "buffers").text
    assert "resources.allocate" in page.find_element(By.ID, "said").text


@pytest.mark.parametrize(("flow", "words"), [(FLOW, "the whole trace"), (None, "No violation")])
def test_a_trace_in_which_nothing_happened_has_a_page(visit, flow, words):
    page = visit(timeline(TraceFile(Header(format=1, suite="x 1", subject="s", flow=flow))))
    assert words in page.find_element(By.TAG_NAME, "main").text


def test_a_claim_decides_whether_a_rule_that_needs_it_is_judged():
    header = Header(format=1, suite="x 1", subject="s", flow=FLOW)
    claimed = Header(format=1, suite="x 1", subject="s", flow=FLOW, claims={"flows": ("consumer_first",)})
    run = recorded("reference")  # its schedule is producer-first, which consumer-first runs would not show
    assert violations(TraceFile(header, run.events)) == []
    assert {pin.rule for pin in violations(TraceFile(claimed, run.events))} <= {"SCHED-002", "SCHED-013"}


def test_the_command_writes_the_page(tmp_path, capsys, broken):
    stored, output = tmp_path / "x.jsonl", tmp_path / "x.html"
    stored.write_bytes(encode(broken))
    assert cli.call(["trace", str(stored), "--output", str(output)]) == 0
    text = output.read_text()
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text)[1])
    assert len(data["said"]) == len(broken.events)
    stored.write_text("{}")
    assert cli.call(["trace", str(stored), "--output", str(tmp_path / "y.html")]) == 4
    assert "x.jsonl" in capsys.readouterr().err
    assert not (tmp_path / "y.html").exists()


def test_the_summary_is_judged_with_the_events(broken):
    lying = Summary(state="Failed", streams=broken.summary.streams, stages=broken.summary.stages, live_buffers=7)
    honest = {pin.rule for pin in violations(broken)}
    assert {pin.rule for pin in violations(TraceFile(broken.header, broken.events, summary=lying))} > honest
