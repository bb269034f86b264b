"""The audit log: what is written down, when, and where it goes (CAP-039, CAP-040, CAP-045 to CAP-054)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Literal

from hypothesis import strategies as st

from conformance.areas.granting import EXAMPLES, Texts, configured, sandbox_of
from conformance.checks import Budget, checks
from conformance.errors import Violation
from conformance.models.capabilities import HOT_PATH
from conformance.models.rotation import files_after
from conformance.subjects import protocol as p
from conformance.subjects.protocol import AuditEntry, AuditEvent, Facet
from conformance.subjects.session import Session

KINDS = frozenset(
    {
        "ComponentInstantiated",
        "ComponentTerminated",
        "FlowStarted",
        "FlowTerminated",
        "CapabilityGrantResolved",
        "CapabilityDeniedAtLink",
        "CapabilityExercised",
        "CapabilityExercisedAggregate",
        "CapabilityDeniedAtRuntime",
        "CapabilityResolutionWarning",
        "SandboxViolation",
        "ComponentLoaded",
        "SignatureVerificationFailed",
        "UnsignedComponentLoaded",
    }
)
"""Every name that an event may have (CAP-050)."""

SEVERITIES = ("Info", "Warning", "Critical")
LABELS = ("INFO", "WARN", "CRIT")
YEAR_2001, YEAR_2286 = 10**18, 10**19
"""Unix times in nanoseconds; no other unit makes a number between them before the year 2286."""


def _named(event: AuditEvent) -> tuple[str, str, str | None]:
    return event.severity, event.kind, event.component


@checks("CAP-039", facet=Facet.CAPABILITIES, kind="table")
def one_event_per_check(session: Session, budget: Budget) -> None:
    """Each check outside the hot path has left exactly one event when it returns, allowed or denied, and a denial says of what and whom."""
    for capability in EXAMPLES.values():
        if capability in HOT_PATH or capability.startswith("torvyn:resource-allocate"):
            continue
        for held in (True, False):
            granted: Texts = (capability,) if held else ()
            sandbox = sandbox_of(budget, "CAP-039", granted, granted, configured(session, granted, granted))
            for times in (1, 3):
                reply = session.security.exercise(sandbox, capability, times)
                kind = ("Info", "CapabilityExercised") if held else ("Critical", "CapabilityDeniedAtRuntime")
                expected = [(*kind, "reader")] * times
                found = [_named(event) for event in reply.events]
                what = f"the events of {times} {'allowed' if held else 'denied'} attempts at {capability}"
                budget.expect_equal("CAP-039", found, expected, what, evidence=reply)
                named = all(event.details.get("capability") == capability for event in reply.events)
                budget.expect("CAP-039", named, f"the capability named by {what}", expected=capability, found=reply.events, evidence=reply)
                if not held:
                    told = capability in reply.message and "reader" in reply.message
                    message = "a denial that names component and capability"
                    budget.expect("CAP-039", told, message, expected=f"reader, {capability}", found=reply.message, evidence=reply)
            late = session.security.end(sandbox)
            budget.expect_equal("CAP-039", late, (), "the events that come when the component has ended")


@checks("CAP-040", facet=Facet.CAPABILITIES, kind="table")
def sums_and_denials(session: Session, budget: Budget) -> None:
    """A thousand uses on the hot path come as few sums, which add up; each denial comes by itself."""
    security = session.security
    for kind in HOT_PATH:
        sandbox = sandbox_of(budget, "CAP-040", (kind,), (kind,), configured(session, (kind,), (kind,)))
        uses, events = 0, list[AuditEvent]()
        for times in (1, 2, 1000, 7):
            reply = security.exercise(sandbox, kind, times)
            budget.expect_equal("CAP-040", reply.allowed, times, f"the uses of {kind} that are allowed", evidence=reply)
            uses += times
            events += reply.events
        denied = next(other for other in HOT_PATH if other != kind)
        reply = security.exercise(sandbox, denied, 5)
        found = [_named(event) for event in reply.events]
        expected = [("Critical", "CapabilityDeniedAtRuntime", "reader")] * 5
        budget.expect_equal("CAP-040", found, expected, f"the events of five denials of {denied}", evidence=reply)
        events += security.end(sandbox)
        _expect_sums(budget, events, {kind: uses}, most=uses // 10)


def _expect_sums(budget: Budget, events: Iterable[AuditEvent], uses: Mapping[str, int], *, most: int) -> None:
    sums = [event for event in events if event.kind == "CapabilityExercisedAggregate"]
    single = [event for event in events if event.kind == "CapabilityExercised"]
    budget.expect("CAP-040", not single, "uses on the hot path that are audited one by one", expected=0, found=len(single))
    budget.expect("CAP-040", len(sums) <= most, "the number of sums", expected=f"at most {most}", found=len(sums), evidence=sums)
    counted: dict[str, int] = {}
    for event in sums:
        name, number, interval = (event.details.get(field) for field in ("capability", "count", "interval_ms"))
        fine = isinstance(number, int) and isinstance(interval, int) and interval >= 0
        budget.expect("CAP-040", fine, "a sum's fields", expected="capability, count, interval_ms", found=event.details, evidence=event)
        assert isinstance(number, int)
        counted[str(name)] = counted.get(str(name), 0) + number
    budget.expect_equal("CAP-040", counted, dict(uses), "what the sums add up to", evidence=sums)


@checks("CAP-045", facet=Facet.CAPABILITIES, kind="table")
def warnings_then_what_it_got(session: Session, budget: Budget) -> None:
    """Of a component that starts the log has one Warning per warning first, and one ComponentInstantiated last, with all that it has."""
    for declared, granted in (
        ((), ()),
        (("clock:wall",), ("clock:wall",)),
        (("clock:wall", "?stdio:stderr"), ("clock:wall", "stdio:stdout")),
        (("?stdio:stderr", "?clock:wall", "filesystem:read:/data/in"), ("filesystem:read:/", "filesystem:read:/data", "random:crypto")),
    ):
        reply = configured(session, declared, granted)
        sandbox_of(budget, "CAP-045", declared, granted, reply)
        found = [_named(event) for event in reply.events if event.kind != "CapabilityGrantResolved"]
        warnings = [("Warning", "CapabilityResolutionWarning", "reader")] * len(reply.warnings)
        expected = [*warnings, ("Info", "ComponentInstantiated", "reader")]
        budget.expect_equal("CAP-045", found, expected, "the events of a component's start", evidence=reply)
        last = reply.events[-1]
        said = last.details.get("resolved_capabilities")
        listed = sorted(said) if isinstance(said, (list, tuple)) else said
        budget.expect_equal("CAP-045", last.kind, "ComponentInstantiated", "the last event", evidence=reply)
        budget.expect_equal("CAP-045", listed, sorted(reply.effective), "the capabilities of ComponentInstantiated", evidence=reply)


@checks("CAP-046", facet=Facet.CAPABILITIES, kind="table")
def a_refusal_is_told(session: Session, budget: Budget) -> None:
    """A component that is refused has no sandbox, and one Critical event for each cause; nothing says that it was started."""
    for declared, granted in (
        (("clock:wall",), ()),
        (("clock:wall", "stdio:stdout", "filesystem:read:/data"), ("filesystem:read:/srv", "random:crypto")),
        (("clock:wall", "?stdio:stderr", "stdio:stdout"), ("clock:wall",)),
        (("nocolon", "magic:x"), ()),
    ):
        reply = configured(session, declared, granted)
        evidence = {"declared": declared, "granted": granted, "reply": reply}
        nothing = reply.sandbox is None and not reply.effective and reply.wasi == p.WasiSwitches()
        budget.expect("CAP-046", nothing, "a refused component", expected="no sandbox", found=reply.sandbox, evidence=evidence)
        budget.expect("CAP-046", reply.errors, "the causes of a refusal", expected="at least one", found=0, evidence=evidence)
        found = sorted((*_named(event), str(event.details.get("capability"))) for event in reply.events)
        expected = sorted(("Critical", "CapabilityDeniedAtLink", "reader", note.capability) for note in reply.errors)
        budget.expect_equal("CAP-046", found, expected, "the events of a refusal", evidence=evidence)


@checks("CAP-047", facet=Facet.CAPABILITIES, kind="table")
def resolved_one_by_one(session: Session, budget: Budget) -> None:
    """Each resolved capability has one Info event with what was requested, what was granted, and what came of it."""
    declared = ("clock:wall", "filesystem:read:/data/in", "?stdio:stderr", "network:udp:a.com:53", "?stdio:stdout")
    granted = ("filesystem:read:/data", "clock:wall", "network:udp", "stdio:stdout")
    reply = configured(session, declared, granted)
    sandbox_of(budget, "CAP-047", declared, granted, reply)
    found = sorted(
        (event.severity, *(str(event.details.get(field)) for field in ("requested", "granted", "effective")))
        for event in reply.events
        if event.kind == "CapabilityGrantResolved"
    )
    pairs = (
        ("clock:wall", granted[1]),
        ("filesystem:read:/data/in", granted[0]),
        ("network:udp:a.com:53", granted[2]),
        ("stdio:stdout",) * 2,
    )
    expected = sorted(("Info", request, grant, request) for request, grant in pairs)
    budget.expect_equal("CAP-047", found, expected, "the events of what was resolved", evidence=reply)


def _busy(session: Session) -> list[AuditEvent]:
    """Let two components start, do and try things, and end, side by side; return all events in the order in which they came."""
    security = session.security
    security.open()
    events: list[AuditEvent] = []
    one = security.configure("reader", ("clock:wall", "torvyn:custom-metrics"), ("clock:wall", "torvyn:custom-metrics", "stdio:stdout"))
    other = security.configure("writer", ("stdio:stdout",), ("stdio:stdout",), flow="other")
    refused = security.configure("third", ("stdio:stdout",), ())
    for reply in (one, other, refused):
        events += reply.events
    for sandbox in (one.sandbox, other.sandbox) * 2:
        for capability in ("clock:wall", "stdio:stdout", "torvyn:custom-metrics"):
            events += security.exercise(sandbox or 0, capability, 2).events
    return [*events, *security.end(one.sandbox or 0), *security.end(other.sandbox or 0)]


@checks("CAP-048", facet=Facet.CAPABILITIES, kind="example")
def complete_and_in_order(session: Session, budget: Budget) -> None:
    """Every event has number, time, severity and name, and says whom it is about; the numbers rise, also on lines of text."""
    events = _busy(session)
    for one, other in pairwise(events):
        rising = one.sequence < other.sequence and one.timestamp_ns <= other.timestamp_ns
        budget.expect("CAP-048", rising, "numbers and times of two events", expected="rising", found=(one, other), evidence=(one, other))
    for event in events:
        known = event.severity in SEVERITIES and YEAR_2001 < event.timestamp_ns < YEAR_2286 and event.kind
        budget.expect("CAP-048", known, "an event", expected="severity, kind, and a time in nanoseconds", found=event, evidence=event)
        flow = "other" if event.component == "writer" else "main"
        about = (event.component, event.flow)
        whole = event.component in {"reader", "writer", "third"} and event.flow == flow
        budget.expect("CAP-048", whole, "whom an event names", expected=f"a component, and the flow {flow}", found=about, evidence=event)
    lines = session.security.audit("stdout", entries(12)).printed
    for at, line in enumerate(_json_lines(budget, "CAP-048", lines, 12)):
        missing = [field for field in ("sequence", "timestamp_ns", "severity", "event") if field not in line]
        budget.expect("CAP-048", not missing, f"line {at + 1} of the log", expected="all fields", found=f"without {missing}", evidence=line)
        named = "CapabilityExercised" in json.dumps(line["event"]) and f"reader-{at}" in json.dumps(line)
        budget.expect("CAP-048", named, f"line {at + 1} of the log", expected="its event and its component", found=line, evidence=line)


def entries(number: int, *, long: int = 0) -> tuple[AuditEntry, ...]:
    """Return so many events to write; `long` makes them longer."""
    return tuple(AuditEntry(f"reader-{at}", f"filesystem:read:/{'x' * long}{at}" if long else "clock:wall") for at in range(number))


def _json_lines(budget: Budget, rule: str, written: bytes, expected: int) -> list[dict[str, Any]]:
    """Expect one JSON object per line, numbered upwards."""
    lines = written.decode().splitlines()
    budget.expect_equal(rule, len(lines), expected, "the number of lines in the log", evidence=written.decode()[:2000])
    values: list[dict[str, Any]] = []
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError as error:
            raise Violation(rule, "a line of the log is no JSON", expected="one JSON object", found=str(error), evidence=line) from error
        budget.expect(rule, isinstance(value, dict), "a line of the log", expected="one JSON object", found=line)
        values.append(value)
    numbers = [value.get("sequence", 0) for value in values]
    budget.expect(rule, numbers == sorted(set(numbers)), "the numbers of the lines", expected="rising", found=numbers)
    return values


@checks("CAP-049", facet=Facet.CAPABILITIES, kind="table")
def three_severities(session: Session, budget: Budget) -> None:
    """Info is less than Warning, and Warning less than Critical; in text they are INFO, WARN and CRIT."""
    for given in (("Critical", "Info", "Warning"), ("Warning", "Critical", "Info"), ("Critical", "Warning"), ("Warning", "Info")):
        reply = session.security.severities(given)
        ordered = tuple(severity for severity in SEVERITIES if severity in given)
        budget.expect_equal("CAP-049", reply.ordered, ordered, f"the order of {given}")
        labels = tuple(label for severity, label in zip(SEVERITIES, LABELS, strict=True) if severity in given)
        budget.expect_equal("CAP-049", reply.labels, labels, f"the text of {ordered}")


@checks("CAP-050", facet=Facet.CAPABILITIES, kind="example")
def names_from_the_list(session: Session, budget: Budget) -> None:
    """Every event of components that start, do, try and end has a name from the list, and each provoked kind is there."""
    events = _busy(session)
    for event in events:
        budget.expect("CAP-050", event.kind in KINDS, "an event's name", expected="one of the list", found=event.kind, evidence=event)
    provoked = {
        "ComponentInstantiated",
        "CapabilityGrantResolved",
        "CapabilityDeniedAtLink",
        "CapabilityExercised",
        "CapabilityExercisedAggregate",
        "CapabilityDeniedAtRuntime",
        "CapabilityResolutionWarning",
    }
    missing = sorted(provoked - {event.kind for event in events})
    budget.expect("CAP-050", not missing, "kinds that were provoked and are not in the log", expected="none", found=missing)


@checks("CAP-051", facet=Facet.CAPABILITIES, kind="table")
def sinks_never_raise(session: Session, budget: Budget) -> None:
    """Each sink takes events, where it should; one that can write nothing lets every caller go on."""
    sinks: tuple[Literal["nothing", "stdout", "file"], ...] = ("nothing", "stdout", "file")
    for sink in sinks:
        for broken in (False, True):
            reply = session.security.audit(sink, entries(9), broken=broken)
            what = f"the writes to {'a broken ' if broken else ''}{sink} that returned"
            budget.expect_equal("CAP-051", reply.returned, 9, what, evidence=reply)
            if not broken:
                written = {"nothing": b"", "stdout": reply.printed, "file": reply.files.get("audit", b"")}[sink]
                others = (b"" if sink == "stdout" else reply.printed, {} if sink == "file" else reply.files)
                budget.expect_equal("CAP-051", others, (b"", {}), f"what a log for {sink} writes elsewhere")
                _json_lines(budget, "CAP-051", written, 0 if sink == "nothing" else 9)


@checks("CAP-052", facet=Facet.CAPABILITIES, kind="table")
def rotated_in_time(session: Session, budget: Budget) -> None:
    """A file moves away before a write that would make it too large; older ones move on, and so many are kept."""
    one = len(session.security.audit("file", entries(1)).files["audit"])
    for number, max_bytes, max_files in ((10, one * 3, 2), (10, one, 3), (10, one * 2 + one // 2, 1), (7, one * 100, 2), (9, one * 3, 5)):
        _rotate(session, budget, "CAP-052", entries(number), max_bytes, max_files)
    sizes = st.tuples(st.lists(st.integers(0, 300), min_size=1, max_size=12), st.integers(1, 4), st.integers(1, 1500))

    def law(drawn: tuple[list[int], int, int]) -> None:
        longs, max_files, max_bytes = drawn
        some = tuple(AuditEntry(f"r{at}", f"filesystem:read:/{'x' * long}") for at, long in enumerate(longs))
        _rotate(session, budget, "CAP-052", some, max_bytes, max_files)

    budget.for_all(sizes, law, max_examples=20)


@checks("CAP-053", facet=Facet.CAPABILITIES, kind="table")
def the_newest_is_there(session: Session, budget: Budget) -> None:
    """An event larger than the file may be leaves no empty file behind, and with no rotated files the newest events are kept."""
    one = len(session.security.audit("file", entries(1)).files["audit"])
    for number, max_bytes, max_files in ((3, 1, 2), (3, one - 1, 3), (1, 1, 1), (5, one * 2, 0), (5, one, 0), (3, 1, 0)):
        _rotate(session, budget, "CAP-053", entries(number), max_bytes, max_files)


def _rotate(session: Session, budget: Budget, rule: str, events: tuple[AuditEntry, ...], max_bytes: int, max_files: int) -> None:
    """Write events, and expect the files that an independent model expects of lines as long as those that were written."""
    whole = session.security.audit("file", events).files.get("audit", b"").splitlines(keepends=True)
    budget.expect_equal(rule, len(whole), len(events), "the lines of a log that is never rotated")
    reply = session.security.audit("file", events, max_bytes=max_bytes, max_files=max_files)
    # A number may have one digit more than the first time; what is on disk says how long its line is now.
    sizes = [len(line) for line in whole]
    found: dict[str, list[int]] = {}
    for name, content in reply.files.items():
        found[name] = []
        for line in content.splitlines(keepends=True):
            at = _which(line, events)
            found[name].append(at)
            if at >= 0:
                sizes[at] = len(line)
    expected = files_after(sizes, max_bytes, max_files)
    evidence = {"max_bytes": max_bytes, "max_files": max_files, "bytes of each event": sizes, "files": reply.files}
    message = f"which of {len(events)} events are in which file"
    budget.expect(rule, found == expected, message, expected=expected, found=found, evidence=evidence)


def _which(line: bytes, events: tuple[AuditEntry, ...]) -> int:
    """Return the place of the event that a line is about; -1 for none."""
    return next((at for at, event in enumerate(events) if json.dumps(event.component).encode() in line), -1)


@checks("CAP-054", facet=Facet.CAPABILITIES, kind="example")
def the_default_tenant(session: Session, budget: Budget) -> None:
    """Events name the tenant `default`, whatever component and flow they are about, and no grant is kept from another by it."""
    for event in _busy(session):
        budget.expect_equal("CAP-054", event.tenant, "default", "an event's tenant", evidence=event)
