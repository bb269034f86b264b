"""A picture of a flow's pressure: each queue's depth over time, its watermark band, activations and releases (ADR-015, WMK-001..005)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from itertools import groupby

from torvyn_ref.calls import Element
from torvyn_ref.events import Observer
from torvyn_ref.flow.topology import EdgeDef
from torvyn_ref.streams import low_watermark

WIDTH, PANEL, LEFT, RIGHT, TOP, GAP, BOTTOM = 860, 120, 56, 20, 92, 52, 44
POINTS_MOST = 2_000_000
"""Changes of depth that are kept for each stream; a picture shows the beginning of a longer flow, and says so."""

STYLE = """
    text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
    .title { font-size: 15px; font-weight: 600 }
    .quiet { fill: #57606a }
    .paper { fill: #ffffff }
    .frame { fill: none; stroke: #d0d7de }
    .band { fill: #ffd8a8; opacity: .35 }
    .held { fill: #e03131; opacity: .12 }
    .mark { stroke: #e8590c; stroke-dasharray: 4 3 }
    .depth { fill: none; stroke: #0b7285; stroke-width: 1.5 }
    .on { fill: #c92a2a }
    .off { fill: #2b8a3e }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .quiet { fill: #9198a1 }
      .frame { stroke: #30363d }
      .paper { fill: #0d1117 }
      .depth { stroke: #66d9e8 }
      .on { fill: #ff8787 }
      .off { fill: #69db7c }
    }"""


class Axis(StrEnum):
    """What the picture's width stands for."""

    TIME = "time"
    STEPS = "steps"
    """Each enqueue and dequeue of the flow is one step: the same in every run of a deterministic flow."""


@dataclass(frozen=True, slots=True)
class Change:
    """Pressure went on or off: at which step and instant (ns since the first), at which depth."""

    step: int
    at: int
    on: bool
    depth: int


class DepthRecorder(Observer):
    """Notes how deep each queue is, whenever that changes, and when its pressure does.

    Attributes:
        changes: by stream.
    """

    def __init__(self, edges: Sequence[EdgeDef]) -> None:
        self.edges = tuple(edges)
        self.changes: list[list[Change]] = [[] for _ in edges]
        self.is_cut = False
        self._steps: list[array[int]] = [array("q") for _ in edges]
        self._times: list[array[int]] = [array("q") for _ in edges]
        self._depths: list[array[int]] = [array("q") for _ in edges]
        self._step = 0
        self._first: int | None = None
        self._last = 0

    def enqueued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Note the depth."""
        del element, credits_
        self._note(at, stream, depth)

    def dequeued(self, at: int, stream: int, element: Element, depth: int, credits_: int) -> None:
        """Note the depth."""
        del element, credits_
        self._note(at, stream, depth)

    def pressure(self, at: int, stream: int, *, on: bool, depth: int, duration_ns: int | None) -> None:
        """Note the transition."""
        del duration_ns
        self.changes[stream].append(Change(self._step, self._since(at), on, depth))

    def _note(self, at: int, stream: int, depth: int) -> None:
        self._step += 1
        if len(self._depths[stream]) >= POINTS_MOST:
            self.is_cut = True
            return
        self._steps[stream].append(self._step)
        self._times[stream].append(self._since(at))
        self._depths[stream].append(depth)

    def _since(self, at: int) -> int:
        if self._first is None:
            self._first = at
        self._last = max(self._last, at - self._first)
        return at - self._first

    def draw(self, title: str, *, axis: Axis = Axis.TIME) -> str:
        """Return the picture as SVG, a panel for each stream."""
        end = max(self._step if axis is Axis.STEPS else self._last, 1)
        room = WIDTH - LEFT - RIGHT
        height = TOP + len(self.edges) * (PANEL + GAP) - GAP + BOTTOM
        parts = [f'<rect class="paper" width="{WIDTH}" height="{height}"/>', _text(LEFT, 22, title, "title"), *_legend()]
        said = []
        for index, edge in enumerate(self.edges):
            top = TOP + index * (PANEL + GAP)
            places = self._steps[index] if axis is Axis.STEPS else self._times[index]
            points = [(LEFT + room * place / end, depth) for place, depth in zip(places, self._depths[index], strict=True)]
            changes = [
                (LEFT + room * (change.step if axis is Axis.STEPS else change.at) / end, change.on, change.depth)
                for change in self.changes[index]
            ]
            parts += _panel(edge, top, points, changes)
            ons = [change.depth for change in self.changes[index] if change.on]
            offs = [change.depth for change in self.changes[index] if not change.on]
            said.append(f"{edge}: {len(ons)} activations at depths {_depths(ons)}, {len(offs)} releases at depths {_depths(offs)}")
        label = f"{end / 1e6:.3g} ms" if axis is Axis.TIME else f"{end} steps (enqueues and dequeues of the flow)"
        parts += [_text(LEFT, height - 14, "0", "quiet", "middle"), _text(WIDTH - RIGHT, height - 14, label, "quiet", "end")]
        if self.is_cut:
            parts.append(_text(WIDTH / 2, height - 14, "the beginning only", "quiet", "middle"))
        body = "\n  ".join(parts)
        about = escape(f"{title}. Queue depth. {'; '.join(said)}", quote=True)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
            f'aria-label="{about}">\n  <style>{STYLE}\n  </style>\n  {body}\n</svg>\n'
        )


def _panel(edge: EdgeDef, top: float, points: Sequence[tuple[float, int]], changes: Sequence[tuple[float, bool, int]]) -> list[str]:
    """Draw one stream: frame, band between the marks, intervals of pressure, depth, transitions."""
    capacity = edge.config.capacity
    low = low_watermark(capacity, edge.config.low_watermark_ratio)
    right, floor = WIDTH - RIGHT, top + PANEL

    def y(depth: float) -> float:
        return floor - PANEL * depth / capacity

    parts = [_text(LEFT, top - 16, f"{edge}, capacity {capacity}, low mark {low}, {edge.config.policy}", "quiet")]
    parts.append(f'<rect class="band" x="{LEFT}" y="{top}" width="{right - LEFT}" height="{y(low) - top:.1f}"/>')
    since: float | None = None
    for x, on, _ in (*changes, (right, False, 0)):
        if on:
            since = x
        elif since is not None:
            parts.append(f'<rect class="held" x="{since:.1f}" y="{top}" width="{max(x - since, 0.5):.1f}" height="{PANEL}"/>')
            since = None
    parts.append(f'<line class="mark" x1="{LEFT}" x2="{right}" y1="{y(low):.1f}" y2="{y(low):.1f}"/>')
    parts.append(f'<rect class="frame" x="{LEFT}" y="{top}" width="{right - LEFT}" height="{PANEL}"/>')
    parts += [_text(LEFT - 6, y(depth) + 4, str(depth), "quiet", "end") for depth in sorted({0, low, capacity})]
    path = [f"M{LEFT} {floor}"]
    depth = 0
    for x, depths in _by_pixel(points):
        path += [f"H{x:.1f}", *(f"V{y(one):.1f}" for one in depths)]
        depth = depths[-1]
    parts.append(f'<path class="depth" d="{"".join(path)}V{y(depth):.1f}H{right}"/>')
    parts += [_triangle(x, y(at), up=on) for x, on, at in changes]
    return parts


def _by_pixel(points: Iterable[tuple[float, int]]) -> Iterable[tuple[float, list[int]]]:
    """Yield what can be seen of the depths: of those that share a tenth of a pixel the extremes and the last."""
    for _, group in groupby(points, key=lambda point: round(point[0], 1)):
        same = list(group)
        depths = [depth for _, depth in same]
        yield same[0][0], depths if len(depths) <= 3 else [depths[0], min(depths), max(depths), depths[-1]]


def _legend() -> list[str]:
    return [
        _triangle(LEFT + 5, 46, up=True),
        _text(LEFT + 14, 46, "pressure on, at the capacity", "quiet"),
        _triangle(LEFT + 225, 37, up=False),
        _text(LEFT + 234, 46, "pressure off, at the low mark", "quiet"),
        f'<rect class="band" x="{LEFT + 450}" y="36" width="12" height="12"/>',
        _text(LEFT + 468, 46, "watermark band", "quiet"),
        f'<rect class="held" x="{LEFT + 600}" y="36" width="12" height="12"/>',
        _text(LEFT + 618, 46, "under pressure", "quiet"),
    ]


def _triangle(x: float, y: float, *, up: bool) -> str:
    """Draw a transition: its tip points at the depth at which it happened."""
    foot = y + 9 if not up else y - 9
    name = "on" if up else "off"
    return f'<path class="{name}" d="M{x:.1f} {y:.1f}L{x - 4:.1f} {foot:.1f}L{x + 4:.1f} {foot:.1f}Z"/>'


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _depths(found: Sequence[int]) -> str:
    return ", ".join(str(depth) for depth in sorted(set(found))) or "none"
