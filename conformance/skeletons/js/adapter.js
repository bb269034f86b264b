// An adapter: it lets `torvyn-conformance` drive a runtime over standard input and output.
//
// `streams` is a small stream of numbers that stands where your runtime will stand: replace its body, message by message, and claim further
// facets in `DECLARATION` as you add them. What you leave out, name in `unsupported` with the reason.
"use strict";

const readline = require("node:readline");

const DECLARATION = {
  re: "declaration",
  name: "my-runtime",
  version: "0.1.0",
  protocol: 1,
  language: "javascript",
  facets: [{ facet: "streams" }],
  unsupported: {},
};

/** The runtime refused an operation, and nothing has changed; `kind` is the specification's symbolic kind. */
class Refused extends Error {
  constructor(kind) {
    super(kind);
    this.kind = kind;
  }
}

let stream = null;

const streams = {
  open({ capacity, low_watermark_ratio: ratio = 0.5, policy = "block-producer" }) {
    if (capacity < 1) throw new Refused("invalid-capacity");
    if (!(ratio >= 0 && ratio < 1)) throw new Refused("invalid-ratio");
    stream = { capacity, low: Math.floor(capacity * ratio), policy, items: [], active: false, done: false };
    return describe();
  },
  push({ value }) {
    if (stream.done) throw new Refused("producer-complete");
    let verdict = "enqueued";
    let evicted = null;
    if (stream.items.length === stream.capacity) {
      if (stream.policy === "block-producer") throw new Refused("queue-full");
      if (stream.policy !== "drop-oldest") {
        return { re: "pushed", verdict: stream.policy === "error" ? "queue-full" : "refused-newest", stream: describe() };
      }
      verdict = "evicted-oldest";
      evicted = stream.items.shift();
    }
    stream.items.push(value);
    let changed = null;
    if (stream.items.length === stream.capacity && !stream.active) {
      stream.active = true;
      changed = "active";
    }
    return { re: "pushed", verdict, stream: describe(), evicted, pressure_changed: changed };
  },
  pop() {
    if (stream.items.length === 0) throw new Refused("queue-empty");
    const value = stream.items.shift();
    let changed = null;
    if (stream.active && stream.items.length <= stream.low) {
      stream.active = false;
      changed = "normal";
    }
    return { re: "popped", value, stream: describe(), pressure_changed: changed };
  },
  complete() {
    stream.done = true;
    return describe();
  },
  inspect: () => describe(),
};

function describe() {
  const depth = stream.items.length;
  const waits = stream.policy === "block-producer" && (stream.active || depth === stream.capacity);
  return {
    re: "stream",
    depth,
    credits: stream.capacity - depth,
    capacity: stream.capacity,
    low: stream.low,
    pressure: stream.active ? "active" : "normal",
    may_produce: !stream.done && !waits,
    is_complete: stream.done && depth === 0,
  };
}

const FACETS = { streams };
streams.open({ capacity: 64 });

function answer(asked) {
  if (asked.op === "hello") return DECLARATION;
  if (asked.op === "bye") return { re: "done" };
  const [facet, verb] = asked.op.split(".");
  const method = FACETS[facet]?.[verb];
  if (!method) return { re: "unsupported", reason: `${asked.op} is not implemented` };
  try {
    return method(asked);
  } catch (error) {
    if (error instanceof Refused) return { re: "fault", kind: error.kind };
    throw error;
  }
}

// Standard output belongs to the protocol: log with console.error only. Numbers of more than 53 bits need a JSON parser with BigInt.
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, request } = JSON.parse(line);
  process.stdout.write(JSON.stringify({ id, reply: answer(request) }) + "\n");
  if (request.op === "bye") process.exit(0);
});
