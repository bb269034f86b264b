"""`python -m benchmarks.chart speed.json speed.svg`: draws what `benchmarks.ratio --format json` measured.

Elements per CPU-second on a logarithmic axis: between the slowest and the fastest lie four decades.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from benchmarks.ratio import size_name

WIDTH, HEIGHT = 720, 340
LEFT, RIGHT, TOP, BOTTOM = 72, 16, 64, 40
BAR, GAP = 44, 4

SERIES = (
    ("stock_us", "by hand on wasmtime-py", "#9aa5b1"),
    ("flow_us", "a torvyn-ref flow", "#0b7285"),
    ("direct_us", "by hand on the direct engine", "#c5d9dd"),
)

STYLE = """
    text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
    .title { font-size: 15px; font-weight: 600 }
    .quiet { fill: #57606a }
    .grid { stroke: #d0d7de; stroke-width: 1 }
    .paper { fill: #ffffff }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .quiet { fill: #9198a1 }
      .grid { stroke: #30363d }
      .paper { fill: #0d1117 }
    }"""


def draw(measured: dict[str, Any]) -> str:
    """Return the picture as SVG.

    Raises:
        KeyError, TypeError, ValueError: it is no measurement.
    """
    rates = [(int(row["bytes"]), [1e6 / float(row[name]) for name, _, _ in SERIES]) for row in measured["payloads"]]
    if not rates:
        raise ValueError("no payloads")
    low = math.floor(math.log10(min(min(values) for _, values in rates)))
    high = math.ceil(math.log10(max(max(values) for _, values in rates)))
    floor = HEIGHT - BOTTOM

    def height(rate: float) -> float:
        return (math.log10(rate) - low) / (high - low) * (floor - TOP)

    parts = [f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>']
    parts.append(_text(LEFT, 22, "Source → processor → sink: elements per CPU-second, logarithmic", "title"))
    for position, (_, label, colour) in enumerate(SERIES):
        at = LEFT + (WIDTH - LEFT - RIGHT) * position / len(SERIES)
        parts.append(f'<rect x="{at:.1f}" y="34" width="11" height="11" fill="{colour}"/>')
        parts.append(_text(at + 16, 44, label, "quiet"))
    for power in range(low, high + 1):
        y = floor - height(10.0**power)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 8, y + 4, _number(10.0**power), "quiet", "end"))
    room = (WIDTH - LEFT - RIGHT) / len(rates)
    for position, (size, values) in enumerate(rates):
        middle = LEFT + room * (position + 0.5)
        parts.append(_text(middle, HEIGHT - 16, size_name(size), "", "middle"))
        x = middle - (len(values) * (BAR + GAP) - GAP) / 2
        for value, (_, _, colour) in zip(values, SERIES, strict=True):
            tall = max(height(value), 1)
            parts.append(f'<rect x="{x:.1f}" y="{floor - tall:.1f}" width="{BAR}" height="{tall:.1f}" fill="{colour}"/>')
            parts.append(_text(x + BAR / 2, floor - tall - 5, _number(value), "", "middle"))
            x += BAR + GAP
    body = "\n  ".join(parts)
    label = "; ".join(
        f"{size_name(size)}: " + ", ".join(f"{name} {_number(value)}" for value, (_, name, _) in zip(values, SERIES, strict=True))
        for size, values in rates
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="Elements per CPU-second. {label}">\n  <style>{STYLE}\n  </style>\n  {body}\n</svg>\n'
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _number(value: float) -> str:
    """Round to two digits, and set thousands apart."""
    digits = max(0, 1 - math.floor(math.log10(value)))
    text = f"{round(value, 1 - math.floor(math.log10(value))):,.{digits}f}".replace(",", " ")
    return text.rstrip("0").rstrip(".") if digits else text


def main() -> int:
    """Draw a picture. Returns the exit code."""
    if len(sys.argv) != 3:
        print("usage: python -m benchmarks.chart MEASURED.json PICTURE.svg", file=sys.stderr)
        return 2
    source, target = (Path(name) for name in sys.argv[1:])
    try:
        picture = draw(json.loads(source.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as problem:
        print(f"{source} is not what python -m benchmarks.ratio --format json prints: {problem!r}", file=sys.stderr)
        return 2
    target.write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
