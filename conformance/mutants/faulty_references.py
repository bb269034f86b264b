"""Mutants that take one reference for another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from conformance.mutants.faulty_packing import faulty
from torvyn_ref import packaging
from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging import reference
from torvyn_ref.packaging.reference import OciReference

_parse, _parse_component, _checked_tag = reference.parse_oci, reference.parse_reference, reference._checked_tag  # noqa: SLF001 -- as above


def reading(name: str, rule: str, summary: str, change: Callable[[str], OciReference]) -> None:
    """Register a mutant that reads references in its own way."""
    faulty(name, rule, summary, (packaging, "parse_oci", change))


reading("the-last-colon-is-a-tag", "OCI-013", "A port without a repository's tag is cut off.", lambda text: _portless(_parse(text)))


def _portless(found: OciReference) -> OciReference:
    return replace(found, registry=found.registry.partition(":")[0]) if found.tag is None and found.digest is None else found


def _empty_tag(text: str) -> OciReference:
    return _parse(text[:-1] if text.endswith(":") and text.count("/") else text)


reading("an-empty-tag-is-none", "OCI-013", "A colon with nothing behind it is passed over.", _empty_tag)
reading("the-scheme-is-needed", "OCI-013", "A reference without oci:// is refused.", lambda text: _parse(text if "://" in text else ""))


def _renders_tag(found: OciReference) -> str:
    return f"{found.registry}/{found.repository}:{found.wanted_tag}"


faulty("renders-the-tag", "OCI-013", "A reference with tag and digest is rendered with its tag.", (OciReference, "rendered", _renders_tag))
reading("the-tag-is-dropped", "OCI-014", "A reference with tag and digest loses its tag.", lambda text: _tagless(_parse(text)))


def _tagless(found: OciReference) -> OciReference:
    return replace(found, tag=None) if found.digest else found


def _digest_as_tag(text: str) -> OciReference:
    """Take a malformed digest for a tag, as splitting at the last colon does."""
    try:
        return _parse(text)
    except TorvynError:
        head, at, _ = text.partition("@")
        if not at:
            raise
        return _parse(head)


reading("bad-digests-are-left-out", "OCI-014", "A malformed digest is passed over, and the tag followed.", _digest_as_tag)
reading("repositories-are-lowered", "OCI-014", "Capitals in a repository are made small.", lambda text: _parse(_lowered(text)))


def _lowered(text: str) -> str:
    head, slash, path = text.rpartition("/")
    name, colon, rest = path.partition(":")
    return f"{head}{slash}{name.lower() if '@' not in name else name}{colon}{rest}"


def _long_tags(text: str, tag: str) -> str:
    return tag if len(tag) > 128 else _checked_tag(text, tag)


faulty("tags-of-any-length", "OCI-014", "A tag may be longer than 128 characters.", (reference, "_checked_tag", _long_tags))


def _exact(text: str) -> str:
    if text != text.lower():
        raise TorvynError("packaging", "invalid-reference", "expected lower case")
    return _parse_digest(text)


_parse_digest = reference.parse_digest
faulty("upper-case-is-no-digest", "OCI-006", "A digest in upper case is refused.", (reference, "parse_digest", _exact))
faulty(
    "keeps-upper-case",
    "OCI-006",
    "A digest keeps its upper-case digits.",
    (reference, "parse_digest", lambda text: (_parse_digest(text), text)[1]),
)


def _any_algorithm(text: str) -> str:
    algorithm, colon, digits = text.partition(":")
    return text if colon and algorithm.startswith("sha") and len(digits) % 64 == 0 and digits else _parse_digest(text)


faulty("any-sha-will-do", "OCI-006", "Digests of other algorithms are read.", (reference, "parse_digest", _any_algorithm))


def _names_first(text: str) -> Any:
    found = _parse_component(text)
    return reference.NameReference(text) if text.endswith(".wasm") and "/" not in text else found


def _guesses(text: str) -> Any:
    try:
        return _parse_component(text)
    except TorvynError:
        if not text or "://" in text:
            raise
        return reference.FileReference(text)


faulty("names-may-have-dots", "OCI-024", "A file without a folder is taken for a name.", (packaging, "parse_reference", _names_first))
faulty("anything-is-a-path", "OCI-024", "What has none of the forms is taken for a path.", (packaging, "parse_reference", _guesses))
