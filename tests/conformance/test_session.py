from contextlib import closing
from pathlib import Path

import pytest

from conformance.errors import NotOffered, Refused, SubjectProtocolError
from conformance.subjects import protocol as p
from conformance.subjects.inprocess import Checked, InProcess, PythonSubject
from conformance.subjects.reference import reference_subject
from conformance.subjects.session import TRANSCRIPT_LENGTH, Session


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Boasts", "telepathy"),
        ("Repeats", "claims the facet streams twice"),
        ("Ancient", "the suite speaks protocol 1, the subject speaks 0"),
        ("Newer", "version 1 of the facet streams, the subject speaks 2"),
        ("Rude", "refused the session: go-away"),
    ],
)
def test_a_session_with_a_liar_is_not_opened_and_the_process_is_gone(character, opened, name, words):
    exchange = opened(character(name))
    with pytest.raises(SubjectProtocolError, match=words):
        Session(exchange)
    assert not Path(f"/proc/{exchange.pid}").exists()


def test_a_subject_offers_what_it_claims(honest_streams):
    subject = PythonSubject("s", "1", streams=honest_streams(), capabilities={p.Facet.STREAMS: ("consumer_first",)})
    session = Session(InProcess(subject))
    assert session.offers(p.Facet.STREAMS)
    assert not session.offers(p.Facet.FLOWS)
    assert session.capabilities(p.Facet.STREAMS) == {"consumer_first"}
    assert session.capabilities(p.Facet.FLOWS) == frozenset()


def test_a_facet_that_is_not_claimed_is_declined_with_a_reason(honest_streams):
    session = Session(InProcess(PythonSubject("s", "1", streams=honest_streams())))
    with pytest.raises(NotOffered, match=r"resources\.live-count: the subject has no facet resources") as caught:
        session.resources.live_count()
    assert caught.value.declared


def test_an_operation_missing_from_a_claimed_facet_is_an_overclaim():
    class Half:
        """Can describe a stream, and nothing else."""

        def inspect(self, request):
            return p.StreamReply(0, 1, 1, 0, "normal", True, False)

    session = Session(InProcess(PythonSubject("s", "1", streams=Half())))
    assert session.streams.inspect().capacity == 1
    with pytest.raises(NotOffered, match="no operation push") as caught:
        session.streams.push(1)
    assert not caught.value.declared


def test_a_refusal_keeps_its_kind_words_and_data():
    class Full:
        """Refuses."""

        def push(self, request):
            raise Refused("queue-full", "no place", {"capacity": 2})

    session = Session(InProcess(PythonSubject("s", "1", streams=Full())))
    with pytest.raises(Refused) as caught:
        session.streams.push(1)
    assert (caught.value.kind, caught.value.message, caught.value.fields) == ("queue-full", "no place", {"capacity": 2})


def test_a_wrong_type_inside_a_reply_is_found_in_process_too(honest_streams):
    class Sloppy(honest_streams):
        """Counts in words."""

        def describe(self):
            return p.StreamReply("three", 0, 3, 1, "normal", True, False)

    assert Session(InProcess(PythonSubject("s", "1", streams=Sloppy()))).streams.inspect().depth == "three"
    session = Session(Checked(InProcess(PythonSubject("s", "1", streams=Sloppy()))))
    with pytest.raises(SubjectProtocolError, match="Expected `int`, got `str`"):
        session.streams.inspect()
    assert session.failure is not None


def test_a_reply_that_is_none_is_found(honest_streams):
    class Forgets(honest_streams):
        """Returns nothing."""

        def inspect(self, request):
            return None

    session = Session(Checked(InProcess(PythonSubject("s", "1", streams=Forgets()))))
    with pytest.raises(SubjectProtocolError):
        session.streams.inspect()


def test_the_transcript_is_bounded_and_starts_anew_with_each_check(honest_streams):
    session = Session(InProcess(PythonSubject("s", "1", streams=honest_streams())))
    session.streams.open(5)
    for _ in range(3 * TRANSCRIPT_LENGTH):
        session.streams.inspect()
    assert len(session.transcript()) == TRANSCRIPT_LENGTH
    session.begin()
    session.streams.inspect()
    assert len(session.transcript()) == 1


def test_a_long_message_is_cut_in_the_transcript(connection):
    session = connection("reference").session()
    session.resources.open()
    handle = session.resources.allocate("host", 100_000)
    session.resources.write(handle, "host", 0, bytes(100_000))
    assert max(map(len, session.transcript())) < 1000


def test_a_conversation_about_files_is_no_counterexample():
    with closing(Session(InProcess(reference_subject()))) as session:
        session.packaging.parse("r.example/x")
        assert len(session.episode()) == 1
        with pytest.raises(Refused):
            session.packaging.inspect(Path("/nonexistent/x.torvyn"))
        assert session.episode() == ()
