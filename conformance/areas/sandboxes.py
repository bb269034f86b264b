"""What a sandbox opens, and what it takes: WASI, directories, endpoints, limits (CAP-041 to CAP-044, CAP-055)."""

from __future__ import annotations

from conformance.areas.granting import EXAMPLES, Texts, configured, may, sandbox_of
from conformance.checks import Budget, checks
from conformance.models.capabilities import KINDS, PATH
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet, Preopen
from conformance.subjects.session import Session

FUEL = (1_000_000, 10_000_000)
"""Units per call by default: the configuration's, and upstream's security crate's (J-21)."""

SWITCHES = tuple(kind for kind, (narrowed_by, _) in KINDS.items() if narrowed_by != PATH and not kind.startswith("torvyn:"))
READ, WRITE = "filesystem:read", "filesystem:write"


def _wasi(session: Session, budget: Budget, rule: str, declared: Texts, granted: Texts) -> p.WasiSwitches:
    reply = configured(session, declared, granted)
    sandbox_of(budget, rule, declared, granted, reply)
    return reply.wasi


@checks("CAP-041", facet=Facet.CAPABILITIES, kind="table")
def switches_follow_the_resolved(session: Session, budget: Budget) -> None:
    """Every switch of WASI is off, and each capability that a component really has turns on its own, and no other."""
    found = _wasi(session, budget, "CAP-041", (), ())
    budget.expect_equal("CAP-041", found, p.WasiSwitches(), "what is open to a component without capabilities")
    everything = tuple(EXAMPLES.values())
    found = _wasi(session, budget, "CAP-041", (), everything)
    budget.expect_equal("CAP-041", found, p.WasiSwitches(), "what is open to a component that is granted everything and declares nothing")
    found = _wasi(session, budget, "CAP-041", tuple(f"?{text}" for text in everything), ())
    budget.expect_equal("CAP-041", found, p.WasiSwitches(), "what is open to a component that declares everything and is granted nothing")
    for kind in SWITCHES:
        found = _wasi(session, budget, "CAP-041", (kind,), everything)
        budget.expect_equal("CAP-041", found, p.WasiSwitches((kind,)), f"what is open to a component that has {kind}")
    found = _wasi(session, budget, "CAP-041", everything, everything)
    budget.expect_equal("CAP-041", frozenset(found.on), frozenset(SWITCHES), "the switches of a component that has everything")


@checks("CAP-042", facet=Facet.CAPABILITIES, kind="table")
def directories_as_granted(session: Session, budget: Budget) -> None:
    """Each root of a file capability is one open directory under its own path, readable and writable as was granted."""
    for capabilities, expected in (
        ((f"{READ}:/data",), (("/data", True, False),)),
        ((f"{WRITE}:/data",), (("/data", False, True),)),
        ((f"{READ}:/data", f"{WRITE}:/data"), (("/data", True, True),)),
        ((f"{WRITE}:/data/", f"{READ}:/data"), (("/data", True, True),)),
        ((f"{READ}:/data", f"{WRITE}:/data/out"), (("/data", True, False), ("/data/out", False, True))),
        ((f"{READ}:/data", f"{READ}:/data2"), (("/data", True, False), ("/data2", True, False))),
        ((f"{READ}:/srv/../data",), (("/data", True, False),)),
        ((f"{READ}:/",), (("/", True, False),)),
    ):
        wasi = _wasi(session, budget, "CAP-042", capabilities, capabilities)
        wanted = sorted((path, path, read, write) for path, read, write in expected)
        found = sorted((one.host_path, one.guest_path, one.read, one.write) for one in wasi.preopens)
        budget.expect_equal("CAP-042", found, wanted, f"the directories open under {list(capabilities)}", evidence=wasi)
        budget.expect_equal("CAP-042", wasi.on, (), f"the switches that {list(capabilities)} turn on")
    wasi = _wasi(session, budget, "CAP-042", (f"{READ}:/data/in",), (f"{READ}:/data",))
    narrow = (Preopen("/data/in", "/data/in", read=True, write=False),)
    budget.expect_equal("CAP-042", wasi.preopens, narrow, "the directories of a component that asked for less than was granted")


@checks("CAP-043", facet=Facet.CAPABILITIES, kind="table")
def torvyn_opens_no_wasi(session: Session, budget: Budget) -> None:
    """With Torvyn's own capabilities a component has of WASI what it has without them."""
    own = tuple(text for kind, text in EXAMPLES.items() if kind.startswith("torvyn:"))
    for other in ((), ("clock:wall", f"{READ}:/data"), SWITCHES):
        without = _wasi(session, budget, "CAP-043", other, other)
        for more in (*((text,) for text in own), own, ("torvyn:resource-allocate",)):
            both = (*other, *more)
            found = _wasi(session, budget, "CAP-043", both, both)
            budget.expect_equal("CAP-043", found, without, f"what is open with {list(more)} besides {list(other)}")


@checks("CAP-044", facet=Facet.CAPABILITIES, kind="table")
def endpoints_one_by_one(session: Session, budget: Budget) -> None:
    """A component reaches the hosts and ports of its network capability, and no other, whatever it is reached by."""
    for kind in ("network:tcp-connect", "network:tcp-listen", "network:udp", "network:http-outgoing"):
        for scope, reached, other in (
            ("a.com:443", ("a.com:443", "A.COM:443"), ("a.com:80", "a.com:444", "b.org:443", "x.a.com:443")),
            ("*.a.com:1-100", ("a.com:1", "x.a.com:100"), ("x.a.com:101", "x.a.com:0", "nota.com:80", "a.com.evil.org:80")),
            ("*:53", ("a.com:53", "b.org:53"), ("a.com:54", "a.com:5353")),
            ("a.com,b.org", ("a.com:1", "b.org:65535"), ("c.net:1",)),
            ("*", ("a.com:1", "b.org:65535"), ()),
        ):
            held = (f"{kind}:{scope}",)
            sandbox = sandbox_of(budget, "CAP-044", held, held, configured(session, held, held))
            for endpoint in reached:
                may(session, budget, "CAP-044", sandbox, f"{kind}:{endpoint}", allowed=True)
            for endpoint in other:
                may(session, budget, "CAP-044", sandbox, f"{kind}:{endpoint}", allowed=False)
            for elsewhere in {"network:tcp-connect", "network:udp"} - {kind}:
                may(session, budget, "CAP-044", sandbox, f"{elsewhere}:{reached[0]}", allowed=False)


@checks("CAP-055", facet=Facet.CAPABILITIES, kind="table")
def known_defaults(session: Session, budget: Budget) -> None:
    """Fuel, time, buffers, handles and the allocation rate have the defaults of the specification, whatever a component may do."""
    for held in ((), ("clock:wall", "torvyn:resource-allocate")):
        reply = configured(session, held, held)
        sandbox_of(budget, "CAP-055", held, held, reply)
        limits = reply.limits
        budget.expect("CAP-055", limits is not None, "the limits of a sandbox", expected="limits", found="none", evidence=reply)
        assert limits is not None
        budget.expect("CAP-055", limits.fuel in FUEL, "the fuel of a call", expected=f"one of {FUEL}", found=limits.fuel)
        found = (limits.call_timeout_ms, limits.buffer_bytes, limits.handles, limits.allocations_per_s)
        budget.expect_equal(
            "CAP-055", found, (5000, 64 * 1024 * 1024, 1024, None), "time in ms, buffers in bytes, handles, allocation rate"
        )
