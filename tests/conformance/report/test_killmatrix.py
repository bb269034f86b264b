import json

import pytest

from conformance.errors import SuiteError
from conformance.report.killmatrix import decode_kills


def test_what_mutants_writes_is_read_and_what_is_not_shown_is_left():
    data = {
        "total": 1,
        "killed": 1,
        "schema_version": 1,
        "mutants": [{"name": "m", "breaks": ["WMK-001"], "killed": True, "elsewhere": []}],
    }
    matrix = decode_kills(json.dumps(data).encode())
    assert (matrix.total, matrix.killed, matrix.mutants[0].name) == (1, 1, "m")


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"total": 1}', b'{"total": 1, "killed": 1, "mutants": [3]}', b"\xff", b" " * ((64 << 20) + 1)]
)
def test_anything_else_is_refused_in_one_message(data):
    with pytest.raises(SuiteError, match=r"is no kill matrix|no kill matrix is that large"):
        decode_kills(data, "x.json")
