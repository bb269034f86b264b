"""Mutants of every component of the corpus, given to the direct engine: nothing but its own refusals may come out.

    python tests/torvyn_ref/engine/direct/fuzz.py --mutants 100000 --minutes 10

Mutants are a function of the component, the seed and their number: a failure's three are printed, and make it again.
"""

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import wasmtime  # noqa: E402 - the path comes first, for all imports alike
from wasmtime import component as wc  # noqa: E402 - as above

from torvyn_ref.engine.direct import DirectEngine  # noqa: E402 - as above
from torvyn_ref.engine.direct.errors import Malformed, Unsupported  # noqa: E402 - as above
from torvyn_ref.engine.direct.planner import Planner  # noqa: E402 - as above
from torvyn_ref.engine.direct.reader import read  # noqa: E402 - as above
from torvyn_ref.errors import TorvynError  # noqa: E402 - as above

COMPONENTS = ROOT / "corpus/components"
CORNERS = (0, 1, 2, 3, 4, 5, 0x10, 0x11, 0x12, 0x3F, 0x40, 0x41, 0x42, 0x43, *range(0x60, 0x80), 0x80, 0xFF)
SLOW_S = 2.0
"""A mutant of a few kilobytes that takes longer than this hangs, as far as anyone who waits for it can tell."""


def sections(data):
    """Return where a component's sections lie: (number, first byte, first byte of the body, end)."""
    found, at = [], 8
    while at < len(data):
        start, size, shift = at, 0, 0
        at += 1
        while True:
            size |= (data[at] & 0x7F) << shift
            shift += 7
            at += 1
            if data[at - 1] < 0x80:
                break
        found.append((data[start], start, at, at + size))
        at += size
    return found


def mutant(data, parts, source):
    """Return one mutant: blind changes anywhere, or changes of what the component level says."""
    data = bytearray(data)
    described = [part for part in parts if part[0] not in {0, 1}]  # neither custom sections nor core code
    kind = source.choice(("bit", "byte", "byte", "corner", "corner", "corner", "number", "cut", "twice", "move", "drop", "section"))
    if kind == "section":
        _, start, _, end = source.choice(parts)
        other = source.choice(parts)
        piece = bytes(data[start:end])
        match source.randrange(3):
            case 0:
                del data[start:end]
            case 1:
                data[other[1] : other[1]] = piece
            case _:
                data[start:end] = bytes(data[other[1] : other[3]])
        return bytes(data)
    if source.randrange(8) == 0:
        at = source.randrange(len(data))
    else:
        _, _, body, end = source.choice(described)
        at = source.randrange(body, max(end, body + 1))
    match kind:
        case "bit":
            data[at] ^= 1 << source.randrange(8)
        case "byte":
            data[at] = source.randrange(256)
        case "corner":
            data[at] = source.choice(CORNERS)
        case "number":
            data[at] = (data[at] + source.choice((-2, -1, 1, 2))) & 0xFF
        case "cut":
            del data[at : at + source.randrange(1, 9)]
        case "twice":
            data[at:at] = data[at : at + source.randrange(1, 17)]
        case "drop":
            del data[at:]
        case _:
            to = source.randrange(8, len(data))
            length = source.randrange(1, 9)
            data[to : to + length] = data[at : at + length]
    return bytes(data)


def mutants(name, seed, numbers):
    """Yield (number, mutant) of a component of the corpus, one to three changes each."""
    data = (COMPONENTS / f"{name}.wasm").read_bytes()
    parts = sections(data)
    for number in numbers:
        source = random.Random(f"{name} {seed} {number}")
        changed = mutant(data, parts, source)
        for _ in range(source.randrange(3)):
            try:
                changed = mutant(changed, sections(changed), source)
            except (IndexError, ValueError):
                break  # its own sections can no longer be found
        yield number, changed


class Fuzzer:
    """Tries mutants and counts what became of them."""

    def __init__(self):
        self.engine = DirectEngine(threaded=False)
        self.wasm = self.engine.stock.wasm_engine
        self.seen = Counter()

    def close(self):
        self.engine.close()

    def read_and_plan(self, data):
        """Give it to the reader and the planner alone: they must refuse or accept, whatever it is."""
        try:
            definitions = read(data)
        except Malformed:
            return "malformed"
        except Unsupported:
            return "unsupported by the reader"
        try:
            Planner(lambda code: wasmtime.Module(self.wasm, code)).plan(definitions)
        except Unsupported:
            return "unsupported by the plan"
        return "planned"

    def compile(self, data):
        """Give it to the engine: what it accepts wasmtime accepts, and what it refuses it refuses in its own words."""
        try:
            self.engine.compile(data, where="mutant")
        except TorvynError as refusal:
            if refusal.kind not in {"invalid-component", "unsupported-component"}:
                raise
            return refusal.kind
        finally:
            self.engine.stock.compiler.forget()
        wc.Component(self.wasm, data)
        return "compiled"

    def run(self, name, seed, numbers, *, everything=False):
        """Try these mutants; the whole engine on those that the plan accepts, unless `everything`."""
        for number, data in mutants(name, seed, numbers):
            begun = time.perf_counter()
            try:
                outcome = self.read_and_plan(data)
                if everything or outcome in {"planned", "malformed"}:
                    outcome = f"{outcome}, {self.compile(data)}"
            except BaseException:
                sys.stderr.write(f"mutant {number} of {name}, seed {seed}\n")
                raise
            self.seen[outcome] += 1
            if time.perf_counter() - begun > SLOW_S:
                self.seen[f"slow: {name} {seed} {number}"] += 1


def main():
    """Run the deep profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=100_000, help="per component")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of CPU, all components together")
    parser.add_argument("components", nargs="*", help="all of the corpus, unless some are named")
    options = parser.parse_args()
    names = options.components or sorted(path.stem for path in COMPONENTS.glob("*.wasm"))
    fuzzer, tried = Fuzzer(), 0
    for first in range(0, options.mutants, 100):
        for name in names:
            numbers = range(first, min(first + 100, options.mutants))
            fuzzer.run(name, options.seed, numbers)
            tried += len(numbers)
            if time.process_time() > 60 * options.minutes:
                break
        else:
            continue
        break
    fuzzer.close()
    sys.stdout.write(f"{tried} mutants of {len(names)} components, {time.process_time():.0f} s of CPU\n")
    for outcome, count in fuzzer.seen.most_common():
        sys.stdout.write(f"{count:9} {outcome}\n")
    return 1 if any(outcome.startswith("slow") for outcome in fuzzer.seen) else 0


if __name__ == "__main__":
    raise SystemExit(main())
