"""Subjects that would deceive a judge who believes them: they skip, boast, hide, hang, flood, die and babble; standard library only.

`python fakes.py NAME [STORY]` speaks the protocol over standard input and output. Streams are answered for real where the name does not say
otherwise, so that what is wrong is the one thing that the name says.
"""

import json
import os
import signal
import sys
from fractions import Fraction
from typing import ClassVar


class Fake:
    """One stream, kept as the rules want it."""

    facets = ({"facet": "streams"},)
    unsupported: ClassVar = {}

    def __init__(self):
        self.open({"capacity": 4})

    # ---- the stream

    def open(self, asked):
        self.capacity = asked["capacity"]
        if self.capacity < 1:
            return {"re": "fault", "kind": "invalid-capacity"}
        self.ratio = asked.get("low_watermark_ratio", 0.5)
        if not 0 <= self.ratio < 1:
            return {"re": "fault", "kind": "invalid-ratio"}
        self.low = int(Fraction(self.ratio) * self.capacity)
        self.policy = asked.get("policy", "block-producer")
        self.items, self.active, self.complete_ = [], False, False
        return self.describe()

    def push(self, asked):
        if self.complete_:
            return {"re": "fault", "kind": "producer-complete"}
        verdict, evicted = "enqueued", None
        if len(self.items) == self.capacity:
            if self.policy == "block-producer":
                return {"re": "fault", "kind": "queue-full"}
            if self.policy == "drop-newest":
                return {"re": "pushed", "verdict": "refused-newest", "stream": self.describe()}
            if self.policy == "error":
                return {"re": "pushed", "verdict": "queue-full", "stream": self.describe()}
            verdict, evicted = "evicted-oldest", self.items.pop(0)
        self.items.append(asked["value"])
        changed = None
        if len(self.items) == self.capacity and not self.active:
            self.active, changed = True, "active"
        return {"re": "pushed", "verdict": verdict, "stream": self.describe(), "evicted": evicted, "pressure_changed": changed}

    def pop(self, _asked):
        if not self.items:
            return {"re": "fault", "kind": "queue-empty"}
        value, changed = self.items.pop(0), None
        if self.active and len(self.items) <= self.low:
            self.active, changed = False, "normal"
        return {"re": "popped", "value": value, "stream": self.describe(), "pressure_changed": changed}

    def complete(self, _asked):
        self.complete_ = True
        return self.describe()

    def inspect(self, _asked):
        return self.describe()

    def describe(self):
        free = self.capacity - len(self.items)
        waits = self.policy == "block-producer" and (self.active or not free)
        return {
            "re": "stream",
            "depth": len(self.items),
            "credits": free,
            "capacity": self.capacity,
            "low": self.low,
            "pressure": "active" if self.active else "normal",
            "may_produce": not self.complete_ and not waits,
            "is_complete": self.complete_ and not self.items,
        }

    # ---- the conversation

    def declare(self):
        return {
            "re": "declaration",
            "name": type(self).__name__,
            "version": "1",
            "protocol": 1,
            "facets": list(self.facets),
            "unsupported": self.unsupported,
        }

    def answer(self, asked):
        facet, _, operation = asked["op"].partition(".")
        if facet == "streams":
            return getattr(self, operation)(asked)
        return {"re": "unsupported", "reason": f"there are no {facet} here"}

    def write(self, data):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def reply(self, number, reply):
        self.write(json.dumps({"id": number, "reply": reply}).encode() + b"\n")

    def serve(self):
        for line in sys.stdin.buffer:
            asked = json.loads(line)
            op = asked["request"]["op"]
            if op == "bye":
                self.reply(asked["id"], {"re": "done"})
                return
            self.reply(asked["id"], self.declare() if op == "hello" else self.answer(asked["request"]))


class Honest(Fake):
    """Does what it says."""


class SkipsHalf(Fake):
    """Claims streams, and declines half of the operations without a word beforehand."""

    def answer(self, asked):
        if asked["op"] in {"streams.pop", "streams.complete"}:
            return {"re": "unsupported", "reason": "later"}
        return super().answer(asked)


class PretendsHalf(Fake):
    """Answers every pop from its memory of the first one, and does no work for it."""

    def pop(self, _asked):
        return {"re": "popped", "value": self.items[0], "stream": self.describe()} if self.items else super().pop(_asked)


class Boasts(Fake):
    """Claims resources and has none."""

    facets = ({"facet": "streams"}, {"facet": "resources"})


class Hides(Fake):
    """Has streams and does not claim them."""

    facets = ()


class HidesOne(Fake):
    """Declares an operation unsupported that it has."""

    unsupported: ClassVar = {"streams.complete": "streams here never end"}


class HangsAtOnce(Fake):
    """Never says a word."""

    def declare(self):
        while sys.stdin.buffer.read(1 << 16):
            pass
        sys.exit(0)


class HangsLater(Fake):
    """Goes silent when it is asked for an element."""

    def pop(self, _asked):
        return HangsAtOnce.declare(self)


class Floods(Fake):
    """Answers with a line that never ends."""

    def push(self, _asked):
        try:
            while True:
                self.write(b"x" * 65536)
        except BrokenPipeError:
            os._exit(0)


class FloodsAtOnce(Fake):
    """Introduces itself with a line that never ends."""

    def declare(self):
        return Floods.push(self, {})


class FloodsWithLines(Fake):
    """Says more than it was asked, without end."""

    def push(self, asked):
        try:
            while True:
                self.reply(1, self.describe())
        except BrokenPipeError:
            os._exit(0)


class Dies(Fake):
    """Ends at the first element, with a last word."""

    def push(self, _asked):
        sys.stderr.write("out of everything\n")
        sys.stderr.flush()
        os._exit(9)


class DiesAtOnce(Fake):
    """Ends before it has said who it is."""

    def declare(self):
        return Dies.push(self, {})


class Babbles(Fake):
    """Answers with what is no JSON."""

    def push(self, _asked):
        self.write(b"\x00\xff{not json\n")
        return self.describe()


class BabblesAtOnce(Fake):
    """Greets a person instead of a program."""

    def declare(self):
        self.write(b"Welcome to my runtime!\n")
        return super().declare()


class Flickers(Fake):
    """Rounds one low mark up in those runs of the check `low-marks` that its story marks with an x; after the story it is honest.

    `python fakes.py Flickers x.xx` does so in the first, third and fourth run. The check asks for capacity 100 with three quarters once in
    each run, and at its end; nothing else that the suite draws does.
    """

    def __init__(self):
        self.story = iter(sys.argv[2])
        super().__init__()

    def open(self, asked):
        reply = super().open(asked)
        if (asked["capacity"], asked.get("low_watermark_ratio")) == (100, 0.75):
            reply["low"] += next(self.story, ".") == "x"
        return reply


class ChattersOnStderr(Fake):
    """Answers as it should, and writes a megabyte to its standard error each time."""

    def answer(self, asked):
        sys.stderr.write("so much to say\n" * 70_000)
        sys.stderr.flush()
        return super().answer(asked)


class EndsItsJudge(Fake):
    """Kills the process that asks it, with the first element."""

    def push(self, asked):
        os.kill(os.getppid(), signal.SIGKILL)
        return super().push(asked)


class RoundsUp(Fake):
    """Always rounds the low mark up."""

    def open(self, asked):
        super().open(asked)
        self.low += (Fraction(self.ratio) * self.capacity).denominator > 1
        return self.describe()


if __name__ == "__main__":
    globals()[sys.argv[1]]().serve()
