"""The schema of Torvyn.toml as JSON Schema, for editors and other programs."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from pydantic import TypeAdapter

from torvyn_ref.config import settings
from torvyn_ref.config.schema import Manifest, PackageManifest


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a Torvyn.toml, accepted aliases included."""
    schema = TypeAdapter(Manifest | PackageManifest).json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Torvyn.toml"
    for section in _sections(settings.Section):
        definition = schema["$defs"].get(section.__name__)
        if definition is None:
            continue
        for alias, key in section.aliases.items():
            definition["properties"][alias] = {
                **deepcopy(definition["properties"][key]),
                "description": f"Another spelling of `{key}`.",
            }
    endpoint = schema["$defs"]["Endpoint"]
    schema["$defs"]["Endpoint"] = {
        "description": endpoint["description"],
        "anyOf": [
            {"type": "string", "pattern": "^[^:]+:[^:]+$"},
            {key: value for key, value in endpoint.items() if key != "description"},
        ],
    }
    return schema


def _sections(base: type[settings.Section]) -> list[type[settings.Section]]:
    return [section for child in base.__subclasses__() for section in (child, *_sections(child))]
