"""Mutants of every component of the corpus, given to the direct engine: nothing but its own refusals may come out.

    python tests/torvyn_ref/engine/direct/fuzz.py --mutants 100000 --minutes 10 --progress fuzz.json

Mutants are a function of the component, the seed and their number: a failure's three are printed, and make it again. With a progress file
the next run goes on where the last one ended, however it ended.

What is spared is only what has been done before, on the same bytes: sections before the first changed byte are not read again, modules are
compiled once, and wasmtime judges a component whose core code is untouched with bodies of one instruction in place of the original ones:
whether a component is valid depends on the types of its core modules, and not on their code. Neither are those modules optimised. Every
`WHOLE`th mutant goes the long way through the whole engine, too, and must come out the same.
"""

import argparse
import faulthandler
import json
import random
import sys
import time
from collections import Counter, OrderedDict
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import wasmtime  # noqa: E402 - the path comes first, for all imports alike
from wasmtime import component as wc  # noqa: E402 - as above

from torvyn_ref.engine.direct import DirectEngine  # noqa: E402 - as above
from torvyn_ref.engine.direct.errors import Malformed, Unsupported  # noqa: E402 - as above
from torvyn_ref.engine.direct.planner import Planner  # noqa: E402 - as above
from torvyn_ref.engine.direct.reader import PREAMBLE, _Reader, read  # noqa: E402 - as above
from torvyn_ref.errors import TorvynError  # noqa: E402 - as above

COMPONENTS = ROOT / "corpus/components"
CORNERS = (0, 1, 2, 3, 4, 5, 0x10, 0x11, 0x12, 0x3F, 0x40, 0x41, 0x42, 0x43, *range(0x60, 0x80), 0x80, 0xFF)
SLOW_S = 2.0
"""A mutant of a few kilobytes that takes more CPU seconds than this hangs, as far as anyone who waits for it can tell."""
WHOLE = 50
MOST_MODULES = 256
SAVE_EVERY_S = 20.0
_CODE, _DATA, _DATA_COUNT, _CUSTOM = 10, 11, 12, 0


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


def original(name):
    """Return a component of the corpus."""
    return (COMPONENTS / f"{name}.wasm").read_bytes()


def mutants(name, seed, numbers):
    """Yield (number, mutant) of a component of the corpus, one to three changes each."""
    data = original(name)
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


def leb(number):
    """Return a number as the format writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def section(number, body):
    """Return a section."""
    return bytes([number]) + leb(len(body)) + body


def hollow(code):
    """Return a core module with the same types, imports and exports, whose functions all end at once, in a trap."""
    out = bytearray(code[:8])
    for number, start, body, end in sections(code):
        if number == _CODE:
            at, count, shift = body, 0, 0
            while True:
                count |= (code[at] & 0x7F) << shift
                shift += 7
                at += 1
                if code[at - 1] < 0x80:
                    break
            out += section(_CODE, leb(count) + b"\x03\x00\x00\x0b" * count)  # its size, no locals, unreachable, end
        elif number not in {_DATA, _DATA_COUNT, _CUSTOM}:
            out += code[start:end]
    return bytes(out)


class Known:
    """A component of the corpus, and what reading and judging its mutants can start from.

    Attributes:
        hollows: its core module sections as they are, and with hollow code.
    """

    def __init__(self, data):
        self.data = data
        self._read = [(8, ())]  # where a section ends, and all definitions up to there
        self.hollows = []
        for number, start, body, end in sections(data):
            self._read.append((end, (*self._read[-1][1], *_Reader(data, start, end, 0).component())))
            if number == 1:
                self.hollows.append((data[start:end], section(1, hollow(data[body:end]))))

    def read(self, data):
        """Return what `read` does: sections that are as they were are not read again."""
        if data[:8] != PREAMBLE:
            return read(data)
        low, high = 0, len(self._read) - 1
        while low < high:
            middle = (low + high + 1) // 2
            end = self._read[middle][0]
            if data[:end] == self.data[:end]:
                low = middle
            else:
                high = middle - 1
        end, definitions = self._read[low]
        return (*definitions, *_Reader(data, end, len(data), 0).component())

    def light(self, data):
        """Return a component that is valid if this one is, and takes less to compile; the same where core code is not as it was."""
        for whole, hollowed in self.hollows:
            if data.count(whole) != 1:
                return data
            data = data.replace(whole, hollowed)
        return data


class Fuzzer:
    """Tries mutants and counts what became of them."""

    def __init__(self):
        self.engine = DirectEngine(threaded=False)
        config = wasmtime.Config()  # what is valid does not depend on how it is compiled: as little as can be
        config.cranelift_opt_level = "none"
        config.parallel_compilation = False
        self.wasm = wasmtime.Engine(config)
        self.seen = Counter()
        self._known = {}
        self._modules = OrderedDict()

    def close(self):
        self.engine.close()

    def known(self, name):
        """Return what is known of a component."""
        if name not in self._known:
            self._known[name] = Known(original(name))
        return self._known[name]

    def read_and_plan(self, known, data):
        """Give it to the reader and the planner alone: they must refuse or accept, whatever it is."""
        try:
            definitions = known.read(data)
        except Malformed:
            return "malformed"
        except Unsupported:
            return "unsupported by the reader"
        try:
            Planner(self._module).plan(definitions)
        except Unsupported:
            return "unsupported by the plan"
        return "planned"

    def judged(self, known, data):
        """Ask wasmtime."""
        try:
            wc.Component(self.wasm, known.light(data))
        except wasmtime.WasmtimeError:
            return "invalid-component"
        return "valid"

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
        wc.Component(self.engine.stock.wasm_engine, data)
        return "compiled"

    def whole(self, known, data, outcome, verdict):
        """Go the long way, and compare.

        Raises:
            AssertionError: it led somewhere else.
        """
        compiled = self.compile(data)
        if outcome == "malformed":
            expected = "invalid-component"
        else:
            verdict = verdict or self.judged(known, data)
            accepted = "compiled" if outcome == "planned" else "unsupported-component"
            expected = accepted if verdict == "valid" else verdict
        assert compiled == expected, f"{compiled}, and in short {outcome}, {verdict}"
        try:
            definitions = read(data)
        except (Malformed, Unsupported) as refusal:
            short = "malformed" if isinstance(refusal, Malformed) else "unsupported by the reader"
            assert outcome == short, f"{short}, and in short {outcome}"
        else:
            assert definitions == known.read(data)

    def run(self, name, seed, numbers, *, everything=False):
        """Try these mutants; wasmtime is asked about those that the plan accepts and those that the reader calls malformed.

        Raises:
            AssertionError: what the reader calls malformed is valid.
        """
        known = self.known(name)
        for number, data in mutants(name, seed, numbers):
            begun = time.perf_counter()
            verdict = None
            try:
                outcome = label = self.read_and_plan(known, data)
                if outcome in {"planned", "malformed"}:
                    verdict = self.judged(known, data)
                    label = f"{outcome}, {verdict}"
                    assert (outcome, verdict) != ("malformed", "valid"), "wasmtime reads what we call malformed"
                if everything or number % WHOLE == 0:
                    self.whole(known, data, outcome, verdict)
            except BaseException:
                sys.stderr.write(f"mutant {number} of {name}, seed {seed}\n")
                raise
            self.seen[label] += 1
            if time.perf_counter() - begun > SLOW_S and self._takes_s(known, data) > SLOW_S:
                self.seen[f"slow: {name} {seed} {number}"] += 1

    def _takes_s(self, known, data):
        """Return the CPU seconds of a mutant for which others have waited, perhaps for other reasons."""
        begun = time.thread_time()
        if self.read_and_plan(known, data) in {"planned", "malformed"}:
            self.judged(known, data)
        return time.thread_time() - begun

    def _module(self, code):
        module = self._modules.get(code)
        if module is None:
            module = self._modules[code] = wasmtime.Module(self.wasm, code)
            if len(self._modules) > MOST_MODULES:
                self._modules.popitem(last=False)
        else:
            self._modules.move_to_end(code)
        return module


class Progress:
    """How far a run has come, kept in a file: the number of the next mutant by component, and what became of those before.

    Args:
        path: None keeps it nowhere.
    """

    def __init__(self, path, seed, names):
        self._path = path
        self._saved = time.monotonic()
        self.next = dict.fromkeys(names, 0)
        self.cpu_s = 0.0
        self.seen = Counter()
        self._head = {"seed": seed, "components": {name: sha256(original(name)).hexdigest() for name in names}}
        if path is not None and path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if {key: kept[key] for key in self._head} != self._head:
                raise SystemExit(f"{path} is of another seed or other components: name another file")
            self.next, self.seen, self.cpu_s = kept["next"], Counter(kept["seen"]), kept["cpu_s"]

    def save(self, spent_s, *, now=False):
        """Write the file, unless that was a moment ago."""
        if self._path is None or not (now or time.monotonic() - self._saved > SAVE_EVERY_S):
            return
        self._saved = time.monotonic()
        content = {**self._head, "next": self.next, "seen": dict(self.seen), "cpu_s": round(self.cpu_s + spent_s, 1)}
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps(content, indent=1), encoding="utf-8")
        beside.replace(self._path)


def main():
    """Run the deep profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=100_000, help="per component")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of CPU, all components together")
    parser.add_argument("--progress", type=Path, help="a file to go on from, and to write")
    parser.add_argument("components", nargs="*", help="all of the corpus, unless some are named")
    options = parser.parse_args()
    names = options.components or sorted(path.stem for path in COMPONENTS.glob("*.wasm"))
    progress = Progress(options.progress, options.seed, names)
    fuzzer = Fuzzer()
    fuzzer.seen = progress.seen
    spent = time.process_time
    try:
        while min(progress.next.values()) < options.mutants and spent() < 60 * options.minutes:
            name = min(names, key=progress.next.__getitem__)
            numbers = range(progress.next[name], min(progress.next[name] + 100, options.mutants))
            fuzzer.run(name, options.seed, numbers)
            progress.next[name] = numbers.stop
            progress.save(spent())
    finally:
        progress.save(spent(), now=True)
        fuzzer.close()
    tried = sum(progress.next.values())
    sys.stdout.write(f"{tried} mutants of {len(names)} components, {progress.cpu_s + spent():.0f} s of CPU\n")
    for outcome, count in fuzzer.seen.most_common():
        sys.stdout.write(f"{count:9} {outcome}\n")
    return 1 if any(outcome.startswith("slow") for outcome in fuzzer.seen) else 0


if __name__ == "__main__":
    faulthandler.enable()
    raise SystemExit(main())
