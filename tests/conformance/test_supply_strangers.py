"""Subjects that answer nonsense about packages and configurations: each is accused, and none brings the suite down."""

import http.client
from pathlib import Path

import pytest

from conformance.checks import Depth, all_checks
from conformance.errors import Refused
from conformance.execute import run_check
from conformance.subjects import protocol as p
from conformance.subjects.connect import Connection, Door
from conformance.subjects.inprocess import Checked, InProcess, PythonSubject
from conformance.verdict import Outcome

CHECKS = [check for check in all_checks() if check.facet in {p.Facet.PACKAGING, p.Facet.CONFIG}]
RECORD = p.SignatureRecord("unsigned", "", "", verified=False)


class Yes:
    """Does nothing, and says that it was done."""

    writes: tuple[tuple[str, bytes], ...] = ()
    pushes: bytes = b""

    def pack(self, request):
        for name, content in self.writes:
            (Path(request.output) / name).write_bytes(content)
        return p.PackedReply("", "")

    def unpack(self, request):
        return p.Done()

    def inspect(self, request):
        return p.InspectedReply("", "", "", "", (), (), (), "", "", (), "", 0, ())

    def parse(self, request):
        return p.ReferenceReply("oci")

    def publish(self, request):
        host, _, path = request.target.partition("/")
        connection = http.client.HTTPConnection(host)
        connection.request("PUT", f"/v2/{path.partition(':')[0]}/manifests/1.2.3", self.pushes)
        connection.getresponse().read()
        connection.close()
        return p.PublishedReply("1.2.3", "")

    def resolve(self, request):
        return p.ComponentReply(b"", "", "file")

    def forget(self, request):
        return p.Done()

    def sign(self, request):
        return p.SignedReply(b"", b"")

    def admit(self, request):
        return p.AdmittedReply()

    def write_record(self, request):
        return p.RecordReply(b"\xff", request.record)

    def read_record(self, request):
        return p.RecordReply(b"", RECORD)

    def load(self, request):
        return p.ConfigurationReply(dict.fromkeys(request.want))


class Litters(Yes):
    writes = (("a.torvyn", b"\x1f\x8b"), ("b.torvyn", b""))
    pushes = b'{"config": [], "layers": {"a": 1}, "annotations": 7}'


class Garbles(Yes):
    writes = (("tidy-1.2.3.torvyn", b"garbage"),)
    pushes = b"[" * 5000 + b'{"layers": [7, {"mediaType": 1, "size": "x"}]}'

    def load(self, request):
        raise Refused("odd", "odd", {"errors": [7, None, {"kind": 3, "field": None}, {}]})


class No(Yes):
    """Refuses whatever it is asked."""

    def __getattribute__(self, name):
        if name.startswith("_"):
            return super().__getattribute__(name)

        def refuse(_request):
            raise Refused("no", "no", {"errors": "none"})

        return refuse


@pytest.mark.parametrize("kind", [Yes, Litters, Garbles, No])
def test_nonsense_is_the_subjects_fault(kind):
    subject = PythonSubject("stranger", "1", packaging=kind(), config=kind())
    connection = Connection(Door("stranger", lambda: Checked(InProcess(subject)), in_process=True))
    outcomes = {}
    try:
        for check in CHECKS:
            result = run_check(check, connection, depth=Depth.QUICK, seed=0, check_timeout=60.0, shrink=False)
            outcomes |= {(check.name, finding.rule): (finding.outcome, finding.message) for finding in result.findings}
    finally:
        connection.close()
    wrong = {name: said for name, said in outcomes.items() if said[0] not in {Outcome.FAIL, Outcome.INCONCLUSIVE}}
    assert wrong == {}
    if kind is not No:
        accused = sum(outcome is Outcome.FAIL for outcome, _ in outcomes.values())
        assert accused > len(outcomes) / 2
