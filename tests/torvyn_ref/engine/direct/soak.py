"""Does anything stay behind? Instances made and closed, and elements sent through one instance, with memory watched.

python tests/torvyn_ref/engine/direct/soak.py --cycles 10000 --elements 1000000
"""

import argparse
import gc
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from wasmtime import _func  # noqa: E402 - the path comes first, for all imports alike

from torvyn_ref.calls import Call, Element, FlowContext, Role  # noqa: E402 - as above
from torvyn_ref.clock import VirtualClock  # noqa: E402 - as above
from torvyn_ref.engine.direct import DirectEngine  # noqa: E402 - as above
from torvyn_ref.engine.protocol import Limits, Sandbox  # noqa: E402 - as above
from torvyn_ref.ids import FlowId, Owner  # noqa: E402 - as above
from torvyn_ref.resources import ResourceManager  # noqa: E402 - as above

OWNER, UPSTREAM, FLOW = Owner(1), Owner(2), FlowId(1)
LIMITS = Limits(call_timeout_ms=None)


@dataclass(frozen=True)
class Left:
    """What there is: resident memory in KiB, Python objects, callbacks that wasmtime-py keeps, handles of the instance, live buffers."""

    resident_kib: int
    objects: int
    callbacks: int
    handles: int
    buffers: int


class Soak:
    """One component, made again and again, or fed again and again."""

    def __init__(self, name="uppercase", role=Role.PROCESSOR):
        self.engine = DirectEngine(threaded=False)
        data = (ROOT / f"corpus/components/{name}.wasm").read_bytes()
        self.compiled = self.engine.compile(data, where=name)
        self.role = role
        self.resources = ResourceManager()
        self.instance = None

    def close(self):
        self.engine.close()

    def open(self):
        sandbox = Sandbox(OWNER, FLOW, self.resources, FlowContext("a1"), VirtualClock(), LIMITS)
        self.instance = self.compiled.instantiate(self.role, sandbox)

    def shut(self):
        self.instance.close()
        self.instance = None

    def element(self, payload=b"payload"):
        resources = self.resources
        handle = resources.allocate(UPSTREAM, len(payload), FLOW)
        resources.write(handle, UPSTREAM, 0, payload)
        resources.freeze(handle, UPSTREAM)
        resources.borrow(handle, OWNER)
        output = self.instance.call(Call.PROCESS, Element(0, 0, "text/plain", handle))
        resources.end_borrow(handle, OWNER)
        resources.release(handle, UPSTREAM)
        resources.release(output.handle, OWNER)

    def cycle(self):
        self.open()
        self.element()
        self.shut()

    def left(self):
        gc.collect()
        handles = 0 if self.instance is None else len(self.instance._bound.runtime.handles)
        return Left(resident_kib(), len(gc.get_objects()), len(_func.FUNCTIONS.handles), handles, self.resources.live_count)


def resident_kib():
    """Return this process's resident memory."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def main():
    """Run the deep profile and print what was left at ten points of each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=10_000)
    parser.add_argument("--elements", type=int, default=1_000_000)
    options = parser.parse_args()
    soak = Soak()
    for what, total, step in (("cycles", options.cycles, soak.cycle), ("elements", options.elements, soak.element)):
        if what == "elements":
            soak.open()
        points, begun = [], time.process_time()
        for part in range(10):
            for _ in range(total // 10):
                step()
            points.append(soak.left())
            sys.stdout.write(f"{(part + 1) * (total // 10):9} {what}: {points[-1]}\n")
        growth = points[-1].resident_kib - points[0].resident_kib
        spent = time.process_time() - begun
        sys.stdout.write(f"          {growth} KiB from the first tenth to the last; {spent / total * 1e6:.1f} us of CPU each\n")
    soak.shut()
    soak.close()


if __name__ == "__main__":
    main()
