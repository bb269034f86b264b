"""Components of the corpus, validated in process; subjects that meddle."""

from dataclasses import replace
from pathlib import Path

import pytest
import tomli

from conformance.components.manifest import find_targets
from conformance.components.model import Wishes
from conformance.components.validate import validate
from conformance.subjects import protocol as p
from conformance.subjects.connect import Connection, Door, find

CORPUS = Path(__file__).resolve().parents[3] / "corpus"
CATALOGUE = tomli.loads((CORPUS / "components/catalogue.toml").read_text())["component"]


class Meddler:
    """The reference, with something done to its messages on their way."""

    def __init__(self, meddle):
        self._inner = find("reference").open()
        self._meddle = meddle

    def exchange(self, request):
        return self._meddle(request, self._inner.exchange)

    def close(self):
        self._inner.close()


@pytest.fixture(scope="session")
def reference():
    connection = Connection(find("reference"))
    yield connection
    connection.close()


@pytest.fixture
def meddling(request):
    """Connect to the reference through a function (request, answer) -> reply."""

    def connect(meddle):
        connection = Connection(Door("meddling", lambda: Meddler(meddle), in_process=True))
        request.addfinalizer(connection.close)
        return connection

    return connect


@pytest.fixture
def validated(reference):
    """Validate a component of the corpus, or a path."""

    def run(name, *, connection=None, clock=None, target=None, **wishes):
        path = str(name) if "/" in str(name) else str(CORPUS / f"components/{name}.wasm")
        targets = find_targets(path, **(target or {}))
        return validate(targets, connection or reference, replace(Wishes(), **wishes), clock=clock)

    return run


@pytest.fixture
def invoked():
    """Change the replies to `guests.invoke` that a function picks."""

    def meddle(change, *, engine=None):
        current = {"engine": ""}

        def go(request, answer):
            reply = answer(request)
            if isinstance(request, p.StartGuest):
                current["engine"] = request.engine
            if isinstance(request, p.InvokeGuest) and engine in {None, current["engine"]}:
                return change(request, reply)
            return reply

        return go

    return meddle
