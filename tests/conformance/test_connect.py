import pytest

from conformance.errors import SubjectProtocolError, SuiteError
from conformance.subjects.connect import Connection, find


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "names no subject: write reference, stdio:COMMAND"),
        ("refernce", "did you mean reference"),
        ("reference:x", "names no subject"),
        ("stdoi:cmd", "did you mean stdio"),
        ("stdio:", "needs a command"),
        ("python:os", "must be written python:MODULE:FACTORY"),
        ("python:no_such_module:make", "module 'no_such_module' cannot be imported"),
        ("python:os:no_such_factory", "has no factory 'no_such_factory'"),
        ("python:os:sep", "cannot be called"),
        ("mutant:no-such-mutant", "there is no mutant 'no-such-mutant'"),
    ],
)
def test_a_name_that_means_nothing_is_explained(name, words):
    with pytest.raises(SuiteError, match=words):
        find(name)


@pytest.fixture
def module(tmp_path, monkeypatch):
    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)

    return write


def test_a_python_runtime_is_judged_through_its_factory(module):
    module(
        "a_runtime",
        """
from conformance.subjects import protocol as p
from conformance.subjects.inprocess import PythonSubject

class Streams:
    def inspect(self, request):
        return p.StreamReply(0, 1, 1, 0, "normal", True, False)

def make():
    return PythonSubject("mine", "3.1", streams=Streams())

def sloppy():
    subject = make()
    subject.streams.inspect = lambda request: p.CountReply("many")
    return subject

def broken():
    raise RuntimeError("no licence")

def other():
    return 42
""",
    )
    session = Connection(find("python:a_runtime:make")).session()
    assert session.declaration.name == "mine"
    assert session.streams.inspect().capacity == 1
    with pytest.raises(SubjectProtocolError):
        Connection(find("python:a_runtime:sloppy")).session().streams.inspect()
    with pytest.raises(SuiteError, match="the factory raised RuntimeError: no licence"):
        find("python:a_runtime:broken").open()
    with pytest.raises(SuiteError, match="returned int; it must return"):
        find("python:a_runtime:other").open()


def test_a_connection_keeps_its_subject_until_it_fails(character_subject, connection):
    good = connection(character_subject("Subject"))
    assert good.session() is good.session()
    bad = connection(character_subject("Dies"))
    first = bad.session()
    with pytest.raises(Exception, match="exit code 7"):
        first.streams.open(2)
    bad.settle()
    assert bad.session() is not first


def test_every_mutant_can_be_opened():
    from conformance.mutants import zoo

    for mutant in zoo.all_mutants():
        session = Connection(find(f"mutant:{mutant.name}")).session()
        assert session.declaration.name == f"mutant:{mutant.name}"
