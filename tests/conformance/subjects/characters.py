"""Subjects with a character, one per way in which an adapter can go wrong; standard library only, as a stranger would write one.

`python characters.py NAME` speaks the protocol over standard input and output.
"""

import json
import os
import subprocess
import sys

STREAM = {
    "re": "stream",
    "depth": 0,
    "credits": 2,
    "capacity": 2,
    "low": 1,
    "pressure": "normal",
    "may_produce": True,
    "is_complete": False,
}


def declaration(**changes):
    said = {"re": "declaration", "name": "a character", "version": "1", "protocol": 1, "facets": [{"facet": "streams"}]}
    return {**said, **changes}


class Subject:
    """Answers every stream request with the same, legal-looking description."""

    def hello(self):
        return declaration()

    def streams(self, op):
        return STREAM

    def write(self, number, reply):
        self.raw(json.dumps({"id": number, "reply": reply}).encode() + b"\n")

    def raw(self, data):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def serve(self):
        for line in sys.stdin.buffer:
            asked = json.loads(line)
            op = asked["request"]["op"]
            if op == "hello":
                self.write(asked["id"], self.hello())
            elif op == "bye":
                self.write(asked["id"], {"re": "done"})
                return
            else:
                self.write(asked["id"], self.streams(op))


class Dies(Subject):
    """Ends in the middle of its work, with a last word on stderr."""

    def streams(self, op):
        sys.stderr.write("I cannot go on" + "\n")
        sys.exit(7)


class Killed(Subject):
    """Is killed by a signal, as by the kernel when memory runs out."""

    def streams(self, op):
        os.kill(os.getpid(), 9)


class Hangs(Subject):
    """Introduces itself, and never says another word."""

    def streams(self, op):
        while sys.stdin.buffer.read(1 << 16):
            pass
        sys.exit(0)


class Mute(Subject):
    """Does not even introduce itself."""

    def hello(self):
        while sys.stdin.buffer.read(1 << 16):
            pass
        sys.exit(0)


class Floods(Subject):
    """Answers with a line that does not end."""

    def streams(self, op):
        try:
            while True:
                self.raw(b"x" * 65536)
        except BrokenPipeError:
            os._exit(0)


class Gibberish(Subject):
    """Answers with a line that is no JSON, as a stray print would."""

    def streams(self, op):
        self.raw(b"starting the engine ...\n")
        return STREAM


class Chatters(Subject):
    """Says one thing more than it was asked."""

    def streams(self, op):
        self.write(99, STREAM)
        return STREAM


class Confused(Subject):
    """Answers a stream request with a buffer handle."""

    def streams(self, op):
        return {"re": "handle", "handle": {"index": 0, "generation": 1}}


class Misnumbers(Subject):
    """Answers some other request than the one it was asked."""

    def write(self, number, reply):
        super().write(number + (reply["re"] == "stream"), reply)


class Invents(Subject):
    """Sends a field that the protocol does not have."""

    def streams(self, op):
        return {**STREAM, "mood": "sunny"}


class Shirks(Subject):
    """Claims the facet, and declines all of its operations."""

    def streams(self, op):
        return {"re": "unsupported", "reason": "not today"}


class Modest(Subject):
    """Declines what it said beforehand that it would."""

    def hello(self):
        return declaration(unsupported={"streams.complete": "streams here never end"})

    def streams(self, op):
        return {"re": "unsupported", "reason": "streams here never end"} if op == "streams.complete" else STREAM


class Boasts(Subject):
    """Claims a facet that does not exist."""

    def hello(self):
        return declaration(facets=[{"facet": "telepathy"}])


class Repeats(Subject):
    """Claims a facet twice."""

    def hello(self):
        return declaration(facets=[{"facet": "streams"}, {"facet": "streams"}])


class Ancient(Subject):
    """Speaks a protocol of another age."""

    def hello(self):
        return declaration(protocol=0)


class Newer(Subject):
    """Speaks a newer version of a facet."""

    def hello(self):
        return declaration(facets=[{"facet": "streams", "version": 2}])


class Rude(Subject):
    """Refuses to introduce itself."""

    def hello(self):
        return {"re": "fault", "kind": "go-away"}


class Breeds(Subject):
    """Starts a process that would outlive it, and tells its id on stderr."""

    def streams(self, op):
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        sys.stderr.write(f"child {child.pid}" + "\n")
        sys.exit(1)


class Stays(Subject):
    """Answers everything, and does not go when it is told to."""

    def serve(self):
        super().serve()
        import signal

        signal.pause()


class Noisy(Subject):
    """Writes more to stderr than anybody wants to keep, then dies."""

    def streams(self, op):
        for number in range(20_000):
            sys.stderr.write(f"line {number}\n")
        sys.stderr.flush()
        sys.exit(1)


if __name__ == "__main__":
    globals()[sys.argv[1]]().serve()
