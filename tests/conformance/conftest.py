"""Subjects, checks and rulebooks to try the judge on."""

import shlex
import sys
from pathlib import Path

import pytest

from conformance.checks import Registry
from conformance.rulebook import load
from conformance.subjects import protocol as p
from conformance.subjects.connect import Connection, find
from conformance.subjects.inprocess import InProcess, PythonSubject
from conformance.subjects.stdio import Stdio, StdioSettings

CHARACTERS = Path(__file__).parent / "subjects" / "characters.py"


class HonestStreams:
    """A stream of numbers as the rules want it, as far as these tests look."""

    def __init__(self):
        self.queue, self.capacity = [], 1

    def open(self, request):
        self.queue, self.capacity = [], request.capacity
        return self.describe()

    def push(self, request):
        self.queue.append(request.value)
        return p.PushedReply("enqueued", self.describe())

    def pop(self, request):
        value = self.queue.pop(0)
        return p.PoppedReply(value, self.describe())

    def complete(self, request):
        return self.describe()

    def inspect(self, request):
        return self.describe()

    def describe(self):
        depth = len(self.queue)
        full = depth >= self.capacity
        return p.StreamReply(
            depth, self.capacity - depth, self.capacity, self.capacity // 2, "active" if full else "normal", not full, False
        )


@pytest.fixture
def honest_streams():
    return HonestStreams


@pytest.fixture(scope="session")
def rulebook():
    return load()


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def character():
    """Make the command line of a character."""

    def command(name):
        return [sys.executable, str(CHARACTERS), name]

    return command


@pytest.fixture
def character_subject(character):
    """Make the --subject of a character."""
    return lambda name: f"stdio:{shlex.join(character(name))}"


@pytest.fixture
def opened(request):
    """Open stdio exchanges that are closed when the test is over."""

    def open_(command, **settings):
        exchange = Stdio(command, StdioSettings(**{"reply_timeout": 20.0, "grace": 5.0, **settings}))
        request.addfinalizer(exchange.close)
        return exchange

    return open_


@pytest.fixture
def connection(request):
    """Connect to a door by name, or to facets; closed when the test is over."""

    def connect(name=None, *, settings=None, **facets):
        if name is None:
            subject = PythonSubject("a Python subject", "1", **facets)
            door = find("reference")
            door = type(door)("test", lambda: InProcess(subject), in_process=True)
        else:
            door = find(name, settings)
        made = Connection(door)
        request.addfinalizer(made.close)
        return made

    return connect
