"""Whole flows under their project's grants (CAP-027, CAP-038, CAP-040, CAP-046, CAP-050, CAP-056 to CAP-060)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from conformance.areas import auditing
from conformance.areas.projects import CAPITALS, END, LINE, NUMBERS, PROCESSOR, SOURCE, STRAIGHT, Node, project
from conformance.checks import Budget, checks
from conformance.errors import Inconclusive
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

Grants = Mapping[str, tuple[str, ...]]

PRINTS: Node = ("wasi-stdout", PROCESSOR, "")
GREETS: Node = ("init-prints", PROCESSOR, "")
CLOCK: Node = ("wasi-wall-clock", PROCESSOR, "")
STDOUT = "stdio:stdout"
ALLOCATE = "torvyn:resource-allocate"
GREETING = b"hello from a component\n"


def guarded(
    middle: Node | None = None,
    *,
    nodes: Mapping[str, Node] | None = None,
    edges: tuple[tuple[str, str, str], ...] = STRAIGHT,
    declared: Grants | None = None,
    grants: Grants | None = None,
    policy: str | None = None,
    more: str = "",
) -> dict[str, bytes]:
    """Return a project: a line with something in the middle, what its components declare, and what its operator grants."""
    files = project(nodes or {**LINE, "middle": middle or CAPITALS}, edges)
    manifest = files["Torvyn.toml"].decode()
    for name, capabilities in (declared or {}).items():
        manifest = re.sub(rf'(path = "{name}\.wasm"\n)', rf"\1capabilities = {_list(capabilities)}\n", manifest)
    if policy is not None:
        manifest += f'[security]\ndefault_capability_policy = "{policy}"\n'
    for key, capabilities in (grants or {}).items():
        manifest += f'[security.grants."{key}"]\ncapabilities = {_list(capabilities)}\n'
    return {**files, "Torvyn.toml": (manifest + more).encode()}


def _list(texts: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"


def _ran(budget: Budget, rule: str, reply: p.RunAuditedReply, what: str) -> None:
    found = reply.state if not reply.kinds else f"{reply.state}: {', '.join(reply.kinds)}"
    budget.expect(rule, reply.state == "Completed", what, expected="Completed", found=found, evidence=reply)


def _refused(budget: Budget, rule: str, reply: p.RunAuditedReply, what: str, *kinds: str) -> None:
    fine = reply.state == "refused" and (not kinds or set(kinds) & set(reply.kinds))
    expected = f"refused: {' or '.join(kinds)}" if kinds else "refused"
    budget.expect(rule, fine, what, expected=expected, found=f"{reply.state}: {', '.join(reply.kinds)}", evidence=reply)
    nothing = not reply.printed and not reply.delivered
    budget.expect(rule, nothing, f"{what}: what it did before it was refused", expected="nothing", found=(reply.printed, reply.delivered))


def _must_run(session: Session) -> None:
    reply = session.security.run(guarded())
    if reply.state != "Completed":
        raise Inconclusive(f"a good project does not run: {reply.state} {reply.kinds}")


@checks("CAP-038", facet=Facet.CAPABILITIES, kind="example")
def allocation_is_implied(session: Session, budget: Budget) -> None:
    """Components of standard worlds allocate without a grant; in strict mode with one only. Strict may be the only mode."""
    both = {"counter-source": (ALLOCATE,), "uppercase": (ALLOCATE,)}
    grants = {"numbers": (ALLOCATE,), "middle": (ALLOCATE,)}
    strict = session.security.run(guarded(), strict_allocation=True)
    _refused(budget, "CAP-038", strict, "a flow that allocates without a grant in strict mode")
    for what, declared, granted in (
        ("one of two components has the grant", both, {"numbers": (ALLOCATE,)}),
        ("the components only declare it", both, {}),
    ):
        _refused(budget, "CAP-038", session.security.run(guarded(declared=declared, grants=granted), strict_allocation=True), what)
    reply = session.security.run(guarded(declared=both, grants=grants), strict_allocation=True)
    _ran(budget, "CAP-038", reply, "a flow whose components have the grant, in strict mode")
    for files, what in ((guarded(declared=both, grants=grants), "with the grant"), (guarded(), "without a grant")):
        reply = session.security.run(files)
        if what == "without a grant" and reply.state == "refused":
            budget.touch("CAP-038")  # strict is the only mode
            continue
        _ran(budget, "CAP-038", reply, f"a flow whose components allocate {what}")
        budget.expect_equal("CAP-038", len(reply.delivered), 2, f"the elements delivered {what}", evidence=reply)


@checks("CAP-040", facet=Facet.CAPABILITIES, kind="example")
def a_thousand_elements_few_events(session: Session, budget: Budget) -> None:
    """A flow of a thousand elements leaves far fewer events, and its sums are the buffers that its components have allocated."""
    _must_run(session)
    elements = 1000
    nodes = {"numbers": ("counter-source", SOURCE, f'config = "count={elements}"'), "middle": CAPITALS, "end": END}
    reply = session.security.run(guarded(nodes=nodes))
    _ran(budget, "CAP-040", reply, "a flow of a thousand elements")
    budget.expect_equal("CAP-040", len(reply.delivered), elements, "the elements delivered", evidence=len(reply.events))
    few = len(reply.events) <= elements // 10
    budget.expect("CAP-040", few, "the events of a thousand elements", expected="far fewer than a thousand", found=len(reply.events))
    counted: dict[str | None, int] = {}
    for event in reply.events:
        if event.kind == "CapabilityExercisedAggregate" and event.details.get("capability") == ALLOCATE:
            counted[event.component] = counted.get(event.component, 0) + int(event.details["count"])
    expected = {"numbers": elements, "middle": elements}
    budget.expect_equal("CAP-040", counted, expected, "the sums of allocations", evidence=reply.events)


@checks("CAP-027", facet=Facet.CAPABILITIES, kind="example")
def an_unused_grant_opens_nothing(session: Session, budget: Budget) -> None:
    """A flow whose operator grants more than a component declares runs, warns, and gives the component nothing of it."""
    _must_run(session)
    reply = session.security.run(guarded(grants={"middle": (STDOUT, "network:tcp-connect")}))
    _ran(budget, "CAP-027", reply, "a flow with grants nobody asked for")
    given = set(reply.capabilities.get("middle", ())) & {STDOUT, "network:tcp-connect"}
    budget.expect("CAP-027", not given, "what the component was given", expected="nothing of it", found=sorted(given), evidence=reply)
    warned = [event for event in reply.events if event.kind == "CapabilityResolutionWarning" and event.component == "middle"]
    budget.expect_equal("CAP-027", len(warned), 2, "the warnings about two unused grants", evidence=reply.events)
    reply = session.security.run(guarded(PRINTS, grants={"middle": (STDOUT,)}))
    _refused(budget, "CAP-027", reply, "a component that is granted standard output and does not declare it")


@checks("CAP-046", "CAP-060", facet=Facet.CAPABILITIES, kind="example")
def refused_before_anything_runs(session: Session, budget: Budget) -> None:
    """When one component of a flow is refused, nothing of the flow has run: no init, no instance, and each cause is in the log."""
    wanted = {"init-prints": (STDOUT, "clock:wall"), "wasi-wall-clock": ("clock:wall",)}
    whole: Grants = {"middle": (STDOUT, "clock:wall")}
    good = session.security.run(guarded(GREETS, declared=wanted, grants=whole))
    if good.printed != b"init ran\n":
        raise Inconclusive(f"a component that is granted everything does not print when it is initialised: {good.state} {good.kinds}")
    greeting = {"init-prints": wanted["init-prints"]}
    four = {"numbers": NUMBERS, "middle": GREETS, "clock": CLOCK, "end": END}
    line = (("numbers", "middle", ""), ("middle", "clock", ""), ("clock", "end", ""))
    for what, files, cause, node in (
        (
            "a component that lacks one of two capabilities",
            guarded(GREETS, declared=wanted, grants={"middle": (STDOUT,)}),
            "clock:wall",
            "middle",
        ),
        (
            "a component that lacks what it prints with",
            guarded(GREETS, declared=wanted, grants={"middle": ("clock:wall",)}),
            STDOUT,
            "middle",
        ),
        ("a component whose neighbour is refused", guarded(nodes=four, edges=line, declared=wanted, grants=whole), "clock:wall", "clock"),
        (
            "a component without declarations",
            guarded(nodes=four, edges=line, declared=greeting, grants=whole),
            "",
            "clock",
        ),
    ):
        reply = session.security.run(files)
        _refused(budget, "CAP-060", reply, what)
        started = [event for event in reply.events if event.kind in {"ComponentInstantiated", "FlowStarted", "CapabilityExercised"}]
        budget.expect("CAP-060", not started, f"{what}: what the log says has begun", expected="nothing", found=started, evidence=reply)
        denied = [event for event in reply.events if event.kind == "CapabilityDeniedAtLink" and event.severity == "Critical"]
        fits = any(event.component == node and (not cause or event.details.get("capability") == cause) for event in denied)
        message = f"{what}: the cause in the log"
        budget.expect("CAP-046", fits, message, expected=f"CapabilityDeniedAtLink of {node}, {cause}", found=reply.events, evidence=reply)


@checks("CAP-050", facet=Facet.CAPABILITIES, kind="example", name="a-flows-events-are-on-the-list")
def a_flows_events_are_on_the_list(session: Session, budget: Budget) -> None:
    """Every event of a flow that starts, uses capabilities and ends has a name from the list; starts and ends are there."""
    reply = session.security.run(guarded(PRINTS, declared={"wasi-stdout": (STDOUT,)}, grants={"middle": (STDOUT,)}))
    _ran(budget, "CAP-050", reply, "a flow that prints")
    for event in reply.events:
        budget.expect(
            "CAP-050", event.kind in auditing.KINDS, "an event's name", expected="one of the list", found=event.kind, evidence=event
        )
    expected = {
        "FlowStarted",
        "FlowTerminated",
        "ComponentInstantiated",
        "ComponentTerminated",
        "CapabilityExercised",
        "CapabilityGrantResolved",
    }
    missing = sorted(expected - {event.kind for event in reply.events})
    budget.expect("CAP-050", not missing, "kinds that are not in the log of a flow", expected="none", found=missing, evidence=reply.events)


@checks("CAP-056", facet=Facet.CAPABILITIES, kind="table")
def two_policies(session: Session, budget: Budget) -> None:
    """The policy is deny-all unless allow-all is written, letter by letter; everything else is refused."""
    declared = {"wasi-stdout": (STDOUT,)}
    for policy in (None, "deny-all"):
        reply = session.security.run(guarded(PRINTS, declared=declared, policy=policy))
        _refused(
            budget,
            "CAP-056",
            reply,
            f"a declared capability without a grant under the policy {policy}",
            "missing-required",
            "capability-denied",
        )
    reply = session.security.run(guarded(PRINTS, declared=declared, policy="allow-all"))
    _ran(budget, "CAP-056", reply, "a declared capability without a grant under allow-all")
    budget.expect_equal("CAP-056", reply.printed, GREETING * 2, "what a component prints under allow-all", evidence=reply)
    for policy in ("allow_all", "Allow-All", "allowall", "allow", "", "none", "deny", " allow-all"):
        for middle, some in ((PRINTS, declared), (CAPITALS, {})):
            reply = session.security.run(guarded(middle, declared=some, policy=policy))
            _refused(budget, "CAP-056", reply, f"a project with the policy {policy!r}")


@checks("CAP-057", facet=Facet.CAPABILITIES, kind="example", name="allow-all-in-a-flow")
def allow_all_in_a_flow(session: Session, budget: Budget) -> None:
    """Under allow-all a component reaches what it declares, with a Warning in the log, and what it does not declare stays shut."""
    reply = session.security.run(guarded(PRINTS, declared={"wasi-stdout": (STDOUT,)}, policy="allow-all"))
    _ran(budget, "CAP-057", reply, "a flow whose component declares what it uses, under allow-all")
    warned = any(event.severity == "Warning" and event.component == "middle" for event in reply.events)
    budget.expect("CAP-057", warned, "the Warning about what allow-all allows", expected="one", found=reply.events, evidence=reply)
    for what, some in (("declares nothing", {}), ("declares something else", {"wasi-stdout": ("stdio:stderr",)})):
        reply = session.security.run(guarded(PRINTS, declared=some, policy="allow-all"))
        _refused(budget, "CAP-057", reply, f"a component that {what} and prints, under allow-all")


@checks("CAP-058", facet=Facet.CAPABILITIES, kind="table")
def grants_have_an_address(session: Session, budget: Budget) -> None:
    """A grant's key is a node's name, or else a component's; a node's own comes first; a misspelt key is refused."""
    declared = {"wasi-stdout": (STDOUT,)}
    for key in ("middle", "wasi-stdout"):
        reply = session.security.run(guarded(PRINTS, declared=declared, grants={key: (STDOUT,)}))
        _ran(budget, "CAP-058", reply, f"a grant under {key!r}")
        budget.expect_equal("CAP-058", reply.printed, GREETING * 2, f"what a component prints with a grant under {key!r}", evidence=reply)
    both: Grants = {"middle": ("stdio:stderr",), "wasi-stdout": (STDOUT,)}
    reply = session.security.run(guarded(PRINTS, declared=declared, grants=both))
    _refused(budget, "CAP-058", reply, "a node whose own grants lack what its component's have")
    reply = session.security.run(guarded(PRINTS, declared=declared, grants={"middle": (STDOUT,), "wasi-stdout": ("stdio:stderr",)}))
    _ran(budget, "CAP-058", reply, "a node whose own grants have what its component's lack")
    two = {"numbers": NUMBERS, "one": PRINTS, "two": PRINTS, "end": END}
    line = (("numbers", "one", ""), ("one", "two", ""), ("two", "end", ""))
    reply = session.security.run(guarded(nodes=two, edges=line, declared=declared, grants={"one": (STDOUT,)}))
    _refused(budget, "CAP-058", reply, "the second of two nodes of one component, when only the first is granted something")
    reply = session.security.run(guarded(nodes=two, edges=line, declared=declared, grants={"wasi-stdout": (STDOUT,)}))
    _ran(budget, "CAP-058", reply, "two nodes of one component that is granted something")
    budget.expect_equal("CAP-058", reply.printed, GREETING * 4, "what two nodes print", evidence=reply)
    for key in ("midle", "Middle", "wasi_stdout", "nobody", "main"):
        reply = session.security.run(guarded(PRINTS, declared=declared, grants={"middle": (STDOUT,), key: (STDOUT,)}))
        _refused(budget, "CAP-058", reply, f"a project with grants under {key!r}")


@checks("CAP-059", facet=Facet.CAPABILITIES, kind="table")
def imports_are_declared(session: Session, budget: Budget) -> None:
    """A WASI import that is not declared, or is declared as false, fails the static check; one that is not granted fails the linking."""
    _must_run(session)
    components = {
        "wasi-stdout": STDOUT,
        "wasi-stderr": "stdio:stderr",
        "wasi-wall-clock": "clock:wall",
        "wasi-monotonic-clock": "clock:monotonic",
        "wasi-random": "random:crypto",
        "wasi-insecure-random": "random:insecure",
        "wasi-environment": "environment:read",
    }
    for name, capability in components.items():
        node: Node = (name, PROCESSOR, "")
        other = next(text for text in components.values() if text != capability)
        for what, files in (
            ("declares nothing", guarded(node, grants={"middle": (capability,)})),
            ("declares something else", guarded(node, declared={name: (other,)}, grants={"middle": (capability, other)})),
        ):
            reply = session.security.run(files)
            _refused(budget, "CAP-059", reply, f"{name}, which {what} and is granted {capability}", "capability-mismatch")
        reply = session.security.run(guarded(node, declared={name: (capability,)}))
        _refused(budget, "CAP-059", reply, f"{name}, which is granted nothing", "capability-denied", "missing-required")
        reply = session.security.run(guarded(node, declared={name: (f"?{capability}",)}))
        _refused(budget, "CAP-059", reply, f"{name}, which can do without and imports it", "capability-denied", "missing-required")
        reply = session.security.run(guarded(node, declared={name: (capability,)}, grants={"middle": (capability,)}))
        _ran(budget, "CAP-059", reply, f"{name} with declaration and grant")
    for manifest, kinds in (
        ("[capabilities.required]\nwasi-random = false\n", ("capability-mismatch",)),
        ("[capabilities.required]\nwasi-random = true\n", ("capability-denied", "missing-required")),
    ):
        reply = session.security.run(guarded(("wasi-random", PROCESSOR, ""), more=manifest))
        _refused(budget, "CAP-059", reply, f"a component that draws random bytes under {manifest!r}", *kinds)
