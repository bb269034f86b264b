"""The time-travel page: a trace as lanes over its events, to be stepped through, with every violation pinned where it shows.

All monitors and models judge the trace; what they find is pinned, and so is the violation for which a counterexample was kept. The
picture is drawn here, as SVG by a template that escapes; the page's script only moves a cursor over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from conformance.report.conversation import of_exchanges
from conformance.report.page import embedded, page
from conformance.report.scene import Scene, StreamTrack, of_flow
from conformance.report.words import clean, shortened
from conformance.rulebook import load
from conformance.traces.file import TraceFile
from conformance.traces.judging import judge

NARROW, WIDE, ROOM = 20, 72, 1040
"""Pixels from one event to the next: at least, at most, and the width that a short trace fills."""
TOP, STATE, STAGE, STREAM, ROW, GAP = 34, 22, 34, 92, 20, 10
"""Heights: the ruler with its pins, the flow's state, a stage, a stream, a buffer's row, and the air between lanes."""
COLOURS = 8
"""How many stages have colours of their own."""
CHARACTER = 6.3
"""About how many pixels a character of a label takes."""


class Pin(NamedTuple):
    """A violation, and the event at which it shows; None where only the whole trace does."""

    at: int | None
    rule: str
    message: str
    expected: str = ""
    found: str = ""


def timeline(trace: TraceFile, name: str = "trace") -> bytes:
    """Return the time-travel page of a trace.

    Raises:
        SuiteError: the rulebook is damaged.
    """
    pins = violations(trace)
    shows = trace.header.shows
    pins.sort(key=lambda pin: shows is None or (pin.rule, pin.at) != (shows.rule, shows.at))  # what it was kept for comes first
    focus = next((pin.at for pin in pins if pin.at is not None), None)
    flow = trace.header.flow
    scene = of_flow(flow, trace.events, focus) if flow is not None else of_exchanges(trace.exchanges, focus)
    book = load()
    shown = [_pin(pin, scene, book) for pin in pins]
    subject = clean(shortened(trace.header.subject, characters=200)) or "unknown"
    return page(
        "timeline.html",
        title=f"{'; '.join(dict.fromkeys(pin.rule for pin in pins)) or 'Trace'}: {subject}",
        styles=("timeline.css",),
        scripts=("timeline.js",),
        name=clean(shortened(name, characters=200)),
        subject=subject,
        header=trace.header,
        note=clean(shortened(trace.header.note)),
        word="event" if flow is not None else "exchange",
        pins=shown,
        scene=scene,
        picture=_picture(scene, shown),
        data=embedded(_data(scene, shown, focus)),
    )


def violations(trace: TraceFile) -> list[Pin]:
    """Return every violation that the monitors and models find in a trace, and the one that it was kept for; the earliest first."""
    found = [judged.broken for judged in judge(load(), trace) if judged.broken is not None]
    kept = [trace.header.shows] if trace.header.shows is not None else []
    pins = {(shows.rule, shows.at): Pin(shows.at, shows.rule, shows.message, shows.expected, shows.found) for shows in (*found, *kept)}
    return sorted(pins.values(), key=lambda pin: (pin.at is None, pin.at or 0, pin.rule))


# ---------------------------------------------------------------- inside


def _pin(pin: Pin, scene: Scene, book: Any) -> dict[str, Any]:
    rule = book.get(pin.rule) if pin.rule in book else None
    inside = pin.at is not None and scene.first <= pin.at < scene.first + scene.length
    return {
        "at": pin.at - scene.first if inside and pin.at is not None else None,
        "event": pin.at,
        "rule": clean(pin.rule)[:40],
        "title": rule.title if rule is not None else "",
        "text": rule.text if rule is not None else "",
        "consequence": rule.consequence if rule is not None else "",
        "message": clean(shortened(pin.message)),
        "expected": clean(shortened(pin.expected)),
        "found": clean(shortened(pin.found)),
    }


def _picture(scene: Scene, pins: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the places of everything, in pixels."""
    y, lanes = TOP, []
    step = _step(scene)
    width = max(scene.length, 1) * step
    states = _runs([state for state in scene.states if state], step)
    if states:
        lanes.append({"kind": "state", "name": "flow", "route": "", "y": y, "height": STATE, "parts": states})
        y += STATE + GAP
    feeds: dict[str, list[int]] = {}
    for number, track in enumerate(scene.streams):
        feeds.setdefault(track.name.partition(" → ")[0], []).append(number)
    drawn: set[int] = set()
    for place, stage in enumerate(scene.stages):
        bars = [
            {
                "x": (bar.start - scene.first) * step + 1,
                "width": (bar.end - bar.start) * step - 2,
                "label": _fit((bar.end - bar.start) * step - 8, bar.label, bar.fn, bar.fn.partition("-")[0]),
                "outcome": bar.outcome if bar.outcome in {"error", "trap"} else "fine",
                "title": f"{bar.label}: {bar.outcome or 'has not answered'}",
            }
            for bar in scene.bars
            if bar.stage == stage
        ]
        lanes.append({"kind": "stage", "name": stage, "route": "", "y": y, "height": STAGE, "colour": place % COLOURS, "bars": bars})
        y += STAGE + GAP
        for number in feeds.get(stage, []):
            lanes.append(_stream_lane(number, scene.streams[number], scene, y))
            drawn.add(number)
            y += STREAM + GAP
    for number, track in enumerate(scene.streams):
        if number not in drawn:
            lanes.append(_stream_lane(number, track, scene, y))
            y += STREAM + GAP
    if scene.rows:
        lanes.append(_buffer_lane(scene, y))
        y += scene.rows * ROW + GAP
    flags = [{"x": pin["at"] * step + step / 2, "at": pin["at"], "rule": pin["rule"]} for pin in pins if pin["at"] is not None]
    ticks = [{"x": at * step + step / 2, "label": at + scene.first} for at in range(0, scene.length, 5)]
    return {"width": width, "height": y, "step": step, "lanes": lanes, "flags": flags, "ticks": ticks, "top": TOP}


def _step(scene: Scene) -> int:
    return min(max(ROOM // max(scene.length, 1), NARROW), WIDE)


def _stream_lane(number: int, track: StreamTrack, scene: Scene, y: int) -> dict[str, Any]:
    step = _step(scene)
    peak = max(track.depth, default=0)
    top = track.capacity if track.capacity <= max(4 * peak, 16) else max(peak * 5 // 4, 8)
    height = STREAM - 16

    def level(value: int) -> float:
        return round(y + 12 + height * (1 - min(max(value, 0), top) / max(top, 1)), 1)

    return {
        "kind": "stream",
        "name": f"stream {number}" if " → " in track.name else track.name,
        "route": track.name,
        "target": track.name.partition(" → ")[2],
        "y": y,
        "height": STREAM,
        "floor": level(0),
        "capacity": track.capacity,
        "low": track.low,
        "band": {"y": level(track.capacity), "height": round(level(track.low) - level(track.capacity), 1)},
        "scaled": top != track.capacity,
        "depth": _steps(track.depth, level, step),
        "area": f"{_steps(track.depth, level, step)} V{level(0)} H0 Z" if track.depth else "",
        "credits": _steps([count for count in track.credits if count is not None], level, step),  # not told at all, or from the start
        "active": [part for part in _runs([str(active) for active in track.active], step) if part["label"] == "True"],
        "lost": [{"x": (at - scene.first) * step + step / 2, "y": y + 8} for at in track.lost],
    }


def _buffer_lane(scene: Scene, y: int) -> dict[str, Any]:
    step = _step(scene)
    parts = [
        {
            "x": (holding.start - scene.first) * step + 1,
            "y": y + holding.row * ROW + 1,
            "width": (holding.end - holding.start) * step - 2,
            "height": ROW - 3,
            "kind": holding.kind,
            "colour": holding.of % COLOURS,
            "label": _fit((holding.end - holding.start) * step - 8, holding.owner, holding.owner.partition(" ")[0]),
            "title": f"{holding.buffer}: {holding.owner}",
        }
        for holding in scene.holdings
    ]
    return {"kind": "buffers", "name": "buffers", "route": "", "y": y, "height": scene.rows * ROW, "parts": parts}


def _runs(values: Sequence[str], step: int) -> list[dict[str, Any]]:
    """Return runs of equal values, as parts of a lane."""
    parts: list[dict[str, Any]] = []
    start = 0
    for at in range(1, len(values) + 1):
        if at == len(values) or values[at] != values[start]:
            width = (at - start) * step
            parts.append({"x": start * step, "width": width, "label": values[start], "shown": _fit(width - 8, values[start])})
            start = at
    return parts


def _steps(values: Sequence[int], level: Any, step: int) -> str:
    """Return a path with one step for each event."""
    parts, before = [], None
    for at, value in enumerate(values):
        height = level(value)
        if before is None:
            parts.append(f"M0 {height}")
        elif height != before:
            parts.append(f"H{at * step} V{height}")
        before = height
    return f"{' '.join(parts)} H{len(values) * step}" if parts else ""


def _fit(width: float, *texts: str) -> str:
    """Return the first text that fits into a width, else the beginning of the last; nothing when that says nothing."""
    room = int(width / CHARACTER)
    for text in texts:
        if len(text) <= room:
            return text
    return f"{texts[-1][: room - 1]}…" if room >= 4 else ""


def _data(scene: Scene, pins: Sequence[dict[str, Any]], focus: int | None) -> dict[str, Any]:
    """Return what the page's script shows of each event."""
    inside = focus is not None and scene.first <= focus < scene.first + scene.length
    return {
        "first": scene.first,
        "step": _step(scene),
        "start": focus - scene.first if inside and focus is not None else 0,
        "said": [clean(text) for text in scene.said],
        "states": scene.states,
        "streams": [
            {
                "name": clean(track.name),
                "capacity": track.capacity,
                "low": track.low,
                "depth": track.depth,
                "credits": track.credits,
                "active": track.active,
            }
            for track in scene.streams
        ],
        "holdings": [
            [holding.start - scene.first, holding.end - scene.first, clean(holding.buffer), clean(holding.owner)]
            for holding in scene.holdings
        ],
        "pins": [{"at": pin["at"], "rule": pin["rule"]} for pin in pins],
    }
