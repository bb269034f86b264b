"""Spans, the ring, promotion, and diagnostic events (OBS-014 to OBS-024)."""

from __future__ import annotations

import json

import pytest

from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.ids import FlowId
from torvyn_ref.observe.diagnostics import CATEGORIES, Channel, Event, Recent
from torvyn_ref.observe.otlp import to_otlp
from torvyn_ref.observe.settings import ObservabilitySettings
from torvyn_ref.observe.spans import Context, Flags, FlowTrace, IdSource, Ring, Span, chain, parse_id, sampled

TRACE = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
ROOT = Context(TRACE, bytes.fromhex("00f067aa0ba902b7"), None, Flags.SAMPLED)


def span(name="flow:1", context=ROOT, **more):
    return Span(name, context, 5, 9, **more)


def test_ids_are_different_and_never_zero():
    ids = IdSource()
    made = [ids.span_id() for _ in range(2000)]
    assert len(set(made)) == 2000
    assert all(any(each) for each in made)
    assert ids.trace_id() != IdSource().trace_id()


@pytest.mark.parametrize("text", ["", "0" * 16, "00F067AA0BA902B7", "00f067aa0ba902b", "00f067aa0ba902b7 "])
def test_what_is_no_id_is_refused(text):
    with pytest.raises(TorvynError, match="16 lowercase hexadecimal digits"):
        parse_id(text, 8)


def test_the_last_eight_bytes_decide_read_from_the_low_end():
    low, high = TRACE[:8] + (1).to_bytes(8, "little"), TRACE[:8] + (2**64 - 1).to_bytes(8, "little")
    assert (sampled(low, 1e-9), sampled(high, 0.999), sampled(high, 1.0), sampled(low, 0.0)) == (True, False, True, False)


def test_a_chain_goes_down():
    first, second = chain(ROOT, IdSource(), 2)
    assert (first.parent, second.parent) == (ROOT.span_id, first.span_id)
    assert {first.trace_id, second.trace_id} == {TRACE}
    assert second.flags is Flags.SAMPLED


def test_a_promoted_flow_exports_its_past_once():
    trace = FlowTrace(ring=Ring(8))
    quiet = Context(TRACE, ROOT.span_id)
    for number in range(10):
        trace.record(span(str(number), quiet))
    assert trace.exported == []
    assert trace.failed()
    assert [each.name for each in trace.exported] == [str(number) for number in range(2, 10)]
    assert not trace.failed()
    trace.record(span("later", quiet))
    assert [each.name for each in trace.exported][-2:] == ["9", "later"]


@pytest.mark.parametrize(("latency", "promotes"), [(10_000_000, False), (10_000_001, True)])
def test_a_latency_above_the_threshold_promotes(latency, promotes):
    assert FlowTrace().took(latency) is promotes
    assert not FlowTrace(latency_threshold_ns=0).took(latency)


def test_a_span_as_otlp_has_strings_for_large_numbers_and_no_parent_for_a_root():
    document = json.loads(to_otlp([span(component=3, sequence=7, ok=False)]))
    written = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert (written["parentSpanId"], written["startTimeUnixNano"], written["status"]) == ("", "5", {"code": 2})
    assert written["attributes"][1] == {"key": "torvyn.element.sequence", "value": {"intValue": "7"}}


def test_a_channel_never_waits():
    channel = Channel(2, recent=Recent(2))
    emitter = channel.emitter(FlowId(1))
    assert [emitter.emit("flow.started", at) for at in range(4)] == [True, True, False, False]
    assert (channel.dropped, [event.at for event in channel.read()]) == (2, [0, 1])
    assert [event.at for event in channel.recent.recent(9)] == [3, 2]


def test_every_event_has_one_of_five_categories_and_a_name_from_the_list():
    assert len(CATEGORIES) == 29
    assert json.loads(Event("pool.exhausted", 4, FlowId(2), {"tier": "small"}).to_json()) == {
        "event_type": "pool.exhausted",
        "category": "performance",
        "at": 4,
        "flow_id": 2,
        "tier": "small",
    }


def test_all_bad_settings_are_told_at_once():
    with pytest.raises(TorvynErrors) as caught:
        ObservabilitySettings(sample_rate=float("nan"), batch_size=0, exporter="otlp-http")
    assert [error.where for error in caught.value.errors] == ["sample_rate", "batch_size", "endpoint"]
