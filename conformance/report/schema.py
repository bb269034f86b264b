"""The JSON Schema of the report, made from its types: `docs/schemas/report-1.schema.json` (`python -m conformance.report.schema`)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from conformance.report.json import SCHEMA_VERSION, RunReport

FILE = Path(__file__).parents[2] / "docs" / "schemas" / f"report-{SCHEMA_VERSION}.schema.json"


def report_schema() -> dict[str, Any]:
    """Return the schema, draft 2020-12. Objects may have more fields than it names: additions keep the version."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:torvyn:conformance:report:{SCHEMA_VERSION}",
        "title": f"A report of torvyn-conformance, schema version {SCHEMA_VERSION}",
        **msgspec.json.schema(RunReport),
    }


def encoded() -> bytes:
    """Return the schema as the file has it."""
    return msgspec.json.format(msgspec.json.encode(report_schema()), indent=2) + b"\n"


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_bytes(encoded())
    sys.stdout.write(f"{FILE}\n")
