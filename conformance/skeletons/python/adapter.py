"""An adapter: it lets `torvyn-conformance` drive a runtime over standard input and output.

`Streams` is a small stream of numbers that stands where your runtime will stand: replace its body, message by message, and claim further
facets in `DECLARATION` as you add them. What you leave out, name in `unsupported` with the reason.
"""

from __future__ import annotations

import json
import sys
from typing import Any

Message = dict[str, Any]

DECLARATION: Message = {
    "re": "declaration",
    "name": "my-runtime",
    "version": "0.1.0",
    "protocol": 1,
    "language": "python",
    "facets": [{"facet": "streams"}],
    "unsupported": {},
}


class Refused(Exception):
    """The runtime refused an operation, and nothing has changed; the argument is the specification's symbolic kind."""


class Streams:
    """One stream, as the messages `streams.*` see it."""

    def __init__(self) -> None:
        self.open({"capacity": 64})

    def open(self, asked: Message) -> Message:
        """Start over with one stream."""
        capacity, ratio = asked["capacity"], asked.get("low_watermark_ratio", 0.5)
        if capacity < 1:
            raise Refused("invalid-capacity")
        if not 0 <= ratio < 1:
            raise Refused("invalid-ratio")
        self.capacity, self.low = capacity, int(capacity * ratio)
        self.policy = asked.get("policy", "block-producer")
        self.items: list[int] = []
        self.active = self.done = False
        return self.inspect(asked)

    def push(self, asked: Message) -> Message:
        """Take a number, or do with it as the policy says."""
        if self.done:
            raise Refused("producer-complete")
        verdict, evicted, changed = "enqueued", None, None
        if len(self.items) == self.capacity:
            if self.policy == "block-producer":
                raise Refused("queue-full")
            if self.policy != "drop-oldest":
                verdict = "queue-full" if self.policy == "error" else "refused-newest"
                return {"re": "pushed", "verdict": verdict, "stream": self.inspect(asked)}
            verdict, evicted = "evicted-oldest", self.items.pop(0)
        self.items.append(asked["value"])
        if len(self.items) == self.capacity and not self.active:
            self.active, changed = True, "active"
        return {"re": "pushed", "verdict": verdict, "stream": self.inspect(asked), "evicted": evicted, "pressure_changed": changed}

    def pop(self, asked: Message) -> Message:
        """Give the oldest number."""
        if not self.items:
            raise Refused("queue-empty")
        value, changed = self.items.pop(0), None
        if self.active and len(self.items) <= self.low:
            self.active, changed = False, "normal"
        return {"re": "popped", "value": value, "stream": self.inspect(asked), "pressure_changed": changed}

    def complete(self, asked: Message) -> Message:
        """Take no more."""
        self.done = True
        return self.inspect(asked)

    def inspect(self, _asked: Message) -> Message:
        """Describe the stream."""
        waits = self.policy == "block-producer" and (self.active or len(self.items) == self.capacity)
        return {
            "re": "stream",
            "depth": len(self.items),
            "credits": self.capacity - len(self.items),
            "capacity": self.capacity,
            "low": self.low,
            "pressure": "active" if self.active else "normal",
            "may_produce": not self.done and not waits,
            "is_complete": self.done and not self.items,
        }


FACETS: dict[str, object] = {"streams": Streams()}


def answer(asked: Message) -> Message:
    """Return the reply to a request."""
    operation = asked["op"]
    if operation == "hello":
        return DECLARATION
    if operation == "bye":
        return {"re": "done"}
    facet, _, verb = operation.partition(".")
    method = getattr(FACETS.get(facet), verb.replace("-", "_"), None)
    if method is None:
        return {"re": "unsupported", "reason": f"{operation} is not implemented"}
    try:
        reply: Message = method(asked)
    except Refused as refused:
        return {"re": "fault", "kind": str(refused)}
    return reply


def main() -> None:
    """Answer requests until `bye` or the end of input; standard output belongs to the protocol, so print to standard error only."""
    for line in sys.stdin:
        request = json.loads(line)
        sys.stdout.write(json.dumps({"id": request["id"], "reply": answer(request["request"])}) + "\n")
        sys.stdout.flush()
        if request["request"]["op"] == "bye":
            return


if __name__ == "__main__":
    main()
