"""A kit for whole flows: projects written for one test, an engine that counts what it did, and a look at what is left."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from torvyn_ref import config
from torvyn_ref.engine.stock import StockEngine
from torvyn_ref.host import Host
from torvyn_ref.security.audit import AuditLog

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ROOT / "corpus/components"
FLOWS = ROOT / "corpus/flows"

INTERFACES = {
    "source": "torvyn:streaming/source",
    "processor": "torvyn:streaming/processor",
    "sink": "torvyn:streaming/sink",
    "filter": "torvyn:filtering/filter",
    "router": "torvyn:filtering/router",
    "aggregator": "torvyn:aggregation/aggregator",
}
LINE = (("numbers", "source", "counter-source"), ("capitals", "processor", "uppercase"), ("end", "sink", "sink-ready"))


class ProjectKit:
    """Writes a Torvyn.toml. A stage is (name, role, component[, more lines]); a component is a corpus name or what is to be written."""

    def __init__(self, root):
        self.root = root
        self.file = root / "Torvyn.toml"

    def write(self, *stages, edges=None, more=""):
        lines = ['[torvyn]\nname = "p"\nversion = "0.1.0"\ncontract_version = "0.1.0"']
        for name, role, component, *options in stages or LINE:
            where = COMPONENTS / f"{component}.wasm" if (COMPONENTS / f"{component}.wasm").exists() else component
            interface = INTERFACES.get(role, role)
            lines.append("\n".join([f'[flow.main.nodes.{name}]\ncomponent = "{where}"\ninterface = "{interface}"', *options]))
        for one, other, *options in pairwise([stage[0] for stage in stages or LINE]) if edges is None else edges:
            source, target = (end if ":" in end else f"{end}:default" for end in (one, other))
            lines.append("\n".join([f'[[flow.main.edges]]\nfrom = "{source}"\nto = "{target}"', *options]))
        self.file.write_text("\n\n".join([*lines, more]) + "\n")
        return self.file

    def listing(self):
        """What is in the project, without the compiled code that a host keeps for its next run."""
        found = {str(path.relative_to(self.root)) for path in self.root.rglob("*")}
        kept = {name for name in found if name.startswith(".torvyn/cache")}
        return sorted(found - kept - ({".torvyn"} if kept else set()))


@pytest.fixture
def isolated(monkeypatch, tmp_path_factory):
    """No configuration, cache or proxy of the machine reaches the test."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "TORVYN_HOME", "COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def project(tmp_path, isolated):
    root = tmp_path / "project"
    root.mkdir()
    return ProjectKit(root)


class CountingInstance:
    def __init__(self, inner, counts):
        self._inner, self._counts, self._closed = inner, counts, False

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def call(self, call, argument=None):
        self._counts["calls"] += 1
        return self._inner.call(call, argument)

    def close(self):
        if not self._closed:
            self._closed = True
            self._counts["live"] -= 1
        self._inner.close()


class CountingCompiled:
    def __init__(self, inner, counts):
        self._inner, self._counts = inner, counts
        self.shape, self.engine_name, self.fallback_reason = inner.shape, inner.engine_name, inner.fallback_reason

    def instantiate(self, role, sandbox):
        instance = self._inner.instantiate(role, sandbox)
        self._counts["instantiated"] += 1
        self._counts["live"] += 1
        return CountingInstance(instance, self._counts)


class CountingEngine:
    """The stock engine, with a count of compilations, instantiations, calls, and instances that are still open."""

    name = "stock"

    def __init__(self, inner):
        self._inner = inner
        self.counts = Counter()

    def compile(self, component, *, where):
        self.counts["compiled"] += 1
        return CountingCompiled(self._inner.compile(component, where=where), self.counts)

    def close(self):
        self.counts["closed"] += 1


@pytest.fixture(scope="session")
def stock():
    engine = StockEngine()
    yield engine
    engine.close()


@pytest.fixture
def engine(stock):
    return CountingEngine(stock)


@pytest.fixture
def audited():
    return []


@pytest.fixture
def host(engine, audited, tmp_path, isolated):
    """Make a host for a project; after the test nothing may be left of its flows."""
    made = []

    def make(path, *, environment=None, **overrides):
        loaded = config.load(path, environment=environment or {}, overrides=overrides.pop("overrides", None))
        host = Host(loaded, engine=engine, cache_root=tmp_path / "cache", **overrides)
        host.audit = host._planner._audit = AuditLog(audited.append, host.clock)
        made.append(host)
        return host

    yield make
    for host in made:
        assert host.resources.live_count == 0
        assert host.metrics.flows_active == 0
    assert engine.counts["live"] == 0


class Ran:
    """What a command line did."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def errors(self):
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


@pytest.fixture
def ref(isolated, capfdbinary, monkeypatch):
    """Run `torvyn-ref` in this process: `ref("run", path, "--limit", "3")`."""
    from torvyn_ref.cli import app

    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            app([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        assert b"Traceback" not in err
        return Ran(ended.value.code or 0, out, err.decode())

    return call


@pytest.fixture
def flows():
    """The directory of the corpus's flow projects."""
    return FLOWS


@pytest.fixture
def components():
    """The directory of the corpus's components."""
    return COMPONENTS


@pytest.fixture
def corpus_flow(tmp_path, isolated):
    """A copy of a flow of the corpus, whose audit log stays in the test's own directory: its Torvyn.toml."""

    def copy(name):
        target = tmp_path / name / "Torvyn.toml"
        target.parent.mkdir(exist_ok=True)
        text = (FLOWS / name / "Torvyn.toml").read_text()
        target.write_text(text.replace("../../components/", f"{COMPONENTS}/"))
        return target

    return copy


@pytest.fixture
def audit_kinds(audited):
    """The kinds of the audit events so far, in order."""
    return lambda: [str(event.kind) for event in audited]
