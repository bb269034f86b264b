"""Laws of the capability algebra, decided by brute force over a small world of paths, hosts and ports."""

from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torvyn_ref.errors import TorvynError
from torvyn_ref.security import Capability, CapabilitySet, Kind, NetScope, PathScope, PoolScope, PortRange, ScopeError, endpoint, parse
from torvyn_ref.security.capability import LONGEST_CAPABILITY, did_you_mean
from torvyn_ref.security.kinds import HOT_PATH, NET_KINDS, PATH_KINDS
from torvyn_ref.security.vocabularies import ALIASES

# The small world: every path of at most four segments, every host name of at most four labels, a few ports. "z" and port 9 are never named
# by a scope, so they stand for everything else there is.
SEGMENTS = ("a", "b")
PATHS = [segments for depth in range(5) for segments in product((*SEGMENTS, "z"), repeat=depth)]
HOSTS = [labels for depth in range(1, 5) for labels in product((*SEGMENTS, "z"), repeat=depth)]
PORTS = (*range(8), 9, 65535)

paths = st.lists(st.sampled_from(SEGMENTS), max_size=3).map(tuple)
names = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3).map(tuple)
patterns = st.tuples(st.booleans(), names)
ranges = st.tuples(st.integers(0, 7), st.integers(0, 7)).map(lambda pair: (min(pair), max(pair)))
nets = st.tuples(st.lists(patterns, max_size=3), st.lists(st.one_of(ranges, st.just((0, 65535))), max_size=3))
pools = st.one_of(st.none(), st.sampled_from(["small", "large"]))


def path_text(path):
    return "/" + "/".join(path)


def net_text(net):
    hosts, spans = net
    host_text = ",".join(("*." if wild else "") + ".".join(labels) for wild, labels in hosts) or "*"
    return host_text + (":" + ",".join(f"{first}-{last}" for first, last in spans) if spans else "")


def host_in(labels, net):
    hosts, _ = net
    return not hosts or any(labels[-len(base) :] == base if wild else labels == base for wild, base in hosts)


def port_in(port, net):
    _, spans = net
    return not spans or any(first <= port <= last for first, last in spans)


scopes = {"path": st.sampled_from(sorted(PATH_KINDS)), "net": st.sampled_from(sorted(NET_KINDS))}
capabilities = st.one_of(
    st.builds(lambda kind, path: f"{kind}:{path_text(path)}", scopes["path"], paths),
    st.builds(lambda kind, net: f"{kind}:{net_text(net)}", scopes["net"], nets),
    pools.map(lambda pool: "torvyn:resource-allocate" + (f":{pool}" if pool else "")),
    st.sampled_from(["torvyn:pool-access:small", "torvyn:pool-access:large"]),
    st.sampled_from([str(kind) for kind in Kind if kind.scope_type == "none"]),
).map(parse)


@given(paths, paths)
def test_a_path_grant_covers_exactly_the_paths_below_it(grant, request):
    allowed = all(path[: len(grant)] == grant for path in PATHS if path[: len(request)] == request)
    assert PathScope(path_text(grant)).covers(PathScope(path_text(request))) is allowed


@given(nets, nets)
def test_a_network_grant_covers_exactly_the_requests_whose_endpoints_it_allows(grant, request):
    hosts = all(host_in(host, grant) for host in HOSTS if host_in(host, request))
    ports = all(port_in(port, grant) for port in PORTS if port_in(port, request))
    assert NetScope.parse(net_text(grant)).covers(NetScope.parse(net_text(request))) is (hosts and ports)


@given(nets, st.sampled_from(HOSTS), st.sampled_from(PORTS))
def test_an_endpoint_is_allowed_exactly_when_a_grant_names_it(net, host, port):
    held = CapabilitySet((Capability(Kind.TCP_CONNECT, NetScope.parse(net_text(net))),))
    wanted = endpoint(Kind.TCP_CONNECT, ".".join(host), port)
    assert held.permits(wanted) is (host_in(host, net) and port_in(port, net))


@given(capabilities)
def test_what_is_written_reads_back_the_same(capability):
    assert parse(str(capability)) == capability


@given(capabilities)
def test_every_capability_covers_itself(capability):
    assert capability.covers(capability)


@given(st.lists(capabilities, min_size=3, max_size=6))
def test_covering_is_transitive(some):
    for one, two, three in permutations(some, 3):
        if one.covers(two) and two.covers(three):
            assert one.covers(three)


@given(capabilities, capabilities)
def test_two_that_cover_each_other_are_equal(one, two):
    assert (one.covers(two) and two.covers(one)) is (one == two)


@given(capabilities, capabilities)
def test_kinds_never_stand_in_for_one_another(grant, request):
    if grant.kind is not request.kind:
        assert not grant.covers(request)


@given(capabilities)
def test_without_grants_nothing_is_permitted(capability):
    assert not CapabilitySet().permits(capability)
    assert not CapabilitySet().answers(str(capability))


@given(st.one_of(st.text(max_size=60), st.text(alphabet=":/.*,-0123456789abfilesystem", max_size=60), capabilities.map(str)))
def test_any_text_is_read_or_refused_with_one_clear_error(text):
    try:
        capability = parse(text)
    except TorvynError as refusal:
        error = refusal
    else:
        assert parse(str(capability)) == capability
        return
    assert error.subsystem == "security"
    assert (error.kind, error.code) in {("invalid-syntax", "E0510"), ("missing-scope", "E0511"), ("unknown-capability", "E0512")}
    assert "\n" not in str(error)


@given(st.text(max_size=60), st.lists(capabilities, max_size=3))
def test_a_guest_may_ask_anything(name, held):
    assert CapabilitySet(tuple(held)).answers(name) in {True, False}


@pytest.mark.parametrize("kind", sorted(NET_KINDS))
def test_a_bad_port_list_never_becomes_every_port(kind):
    with pytest.raises(TorvynError) as refusal:
        parse(f"{kind}:a.com:99999,70000")
    assert refusal.value.kind == "invalid-syntax"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Clock:Wall", "clock:wall"),
        ("filesytem:read:/data", "filesystem:read:/data"),
        ("filesystem:read:/data/**", "filesystem:read:/data"),
        ("wasi:filesystem/read:/data/input", "filesystem:read:/data/input"),
        ("wasi:clocks/wall-clock", "clock:wall"),
        ("wasi:random/random", "random:crypto"),
        ("wasi:http/outgoing-handler", "network:http-outgoing"),
        ("network:egress:api.example.com:443", "network:tcp-connect:api.example.com:443"),
        ("http-client:https://api.example.com/v1", "network:http-outgoing:api.example.com"),
        ("filesystem-read:/data", "filesystem:read:/data"),
        ("udp-bind", "network:udp"),
        ("resource-pool", "torvyn:resource-allocate"),
        ("torvyn:pool-acces", "torvyn:pool-access:name"),
    ],
)
def test_the_documentations_words_are_refused_with_the_right_one(text, meant):
    with pytest.raises(TorvynError) as refusal:
        parse(text)
    assert refusal.value.hint == f"did you mean {meant!r}?"


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_an_alias_where_a_capability_belongs_is_explained(alias):
    with pytest.raises(TorvynError) as refusal:
        parse(alias)
    assert refusal.value.hint.startswith(f"{alias} is a manifest alias; write ")


@given(
    st.text(alphabet="ab1.:*, ", max_size=12), st.sampled_from(["network:tcp-conect:", "wasi:sockets/tcp:", "udp-bind:", "http-client:"])
)
def test_a_suggestion_never_widens_what_was_written(scope, head):
    hint = did_you_mean(head + scope)
    if hint is not None and any(letter.isalnum() for letter in scope):
        assert parse(hint.removeprefix("did you mean '").removesuffix("'?")).scope != NetScope()


@pytest.mark.parametrize(
    "text", ["http-client:https://", "http-client:https:///path", "network:tcp-connect:a.com:99999", "network:udp:a b"]
)
def test_a_scope_that_cannot_be_mended_is_not_left_out_of_a_suggestion(text):
    assert did_you_mean(text) is None


def test_a_slip_in_an_alias_is_mended():
    assert did_you_mean("wasi-clock") == "did you mean the manifest alias 'wasi-clocks'?"


def test_nothing_comes_near_what_has_no_counterpart():
    assert did_you_mean("stream-ops") is None
    assert did_you_mean("stdio:stdin") is None
    assert did_you_mean("magic:x") is None


def test_a_capability_that_is_too_long_is_refused_unread():
    with pytest.raises(TorvynError) as refusal:
        parse("torvyn:pool-access:" + "x" * LONGEST_CAPABILITY)
    assert refusal.value.kind == "invalid-syntax"
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "a-.com",
        "-a.com",
        "a..b",
        "*.",
        "*.*",
        "x.*.com",
        "1.2.3",
        "1.2.3.256",
        "*.0.0.1",
        "[::g]",
        "[::1",
        "::1",
        "[fe80::1%eth0]",
        "\u212a.com",
        "é.com",
    ],
)
def test_what_is_no_host_is_refused(host):
    with pytest.raises(ScopeError):
        NetScope((host, "other.com"))


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("A.Com.", "a.com"),
        ("[0:0::1]", "[::1]"),
        ("10.0.0.1", "10.0.0.1"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("_srv.a", "_srv.a"),
    ],
)
def test_a_host_has_one_canonical_form(written, canonical):
    assert NetScope((written,)).hosts == (canonical,)


def test_scopes_that_mean_the_same_are_the_same():
    assert NetScope.parse("*.a.com,x.a.com,a.com:3-5,1-2,80,80") == NetScope(("*.a.com",), (PortRange(1, 5), PortRange(80, 80)))
    assert NetScope((), (PortRange(0, 65535),)) == NetScope()
    assert PathScope("/a/./b//c/..") == PathScope("/a/b/")


def test_an_ipv6_endpoint_is_compared_by_its_address():
    grant = parse("network:tcp-connect:[::1]:80")
    assert grant.covers(endpoint(Kind.TCP_CONNECT, "0:0:0:0:0:0:0:1", 80))
    assert not grant.covers(endpoint(Kind.TCP_CONNECT, "::2", 80))


@pytest.mark.parametrize(
    ("kind", "scope"),
    [
        (Kind.WALL_CLOCK, PathScope("/a")),
        (Kind.FILESYSTEM_READ, None),
        (Kind.FILESYSTEM_READ, PoolScope("small")),
        (Kind.TCP_CONNECT, PathScope("/a")),
        (Kind.POOL_ACCESS, None),
    ],
)
def test_a_scope_of_another_kind_cannot_be_attached(kind, scope):
    with pytest.raises(ScopeError):
        Capability(kind, scope)


def test_four_kinds_are_hot_and_torvyns_kinds_are_not_wasis():
    assert {str(kind) for kind in HOT_PATH} == {
        "torvyn:resource-allocate",
        "torvyn:emit-backpressure",
        "torvyn:custom-metrics",
        "torvyn:inspect-flow-meta",
    }
    assert all(kind.is_wasi is not kind.startswith("torvyn:") for kind in Kind)
    assert not any(kind.is_wasi for kind in Kind if kind.is_hot_path)
