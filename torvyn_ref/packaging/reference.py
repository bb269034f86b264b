"""Component references, parsed strictly and without looking at any file (OCI-006, OCI-013..015, OCI-024).

| written | means |
|---|---|
| `oci://registry[:port]/repo[/…][:tag][@digest]` | an artifact in a registry |
| `oci-layout:DIR[:tag][@digest]` | an artifact in an OCI image-layout directory |
| `file://PATH`, or a path ending in .wasm or .torvyn | a file (or, with `file://`, a directory) |
| letters, digits, '_' and '-' only | the name of a `[[component]]` |

Everything else is refused: a directory needs its `file://`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging.errors import refused

DEFAULT_TAG: Final = "latest"
MAX_REFERENCE: Final = 2048
_MAX_REPOSITORY = 255

_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\])(?::(?P<port>[0-9]{{1,5}}))?")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class OciReference:
    """An artifact in a registry; tag and digest stay separate (OCI-014)."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def wanted_tag(self) -> str:
        """The tag to ask for when there is no digest: `latest` unless one is written (OCI-015)."""
        return self.tag or DEFAULT_TAG

    @property
    def pinned(self) -> str:
        """What to ask a registry for: the digest when there is one, else the tag (OCI-013)."""
        return self.digest or self.wanted_tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"oci://{self.registry}/{self.repository}{tag}{digest}"

    def rendered(self) -> str:
        """Return the shortest form that means the same artifact: the digest wins over the tag (OCI-013)."""
        end = f"@{self.digest}" if self.digest else f":{self.wanted_tag}"
        return f"{self.registry}/{self.repository}{end}"


@dataclass(frozen=True, slots=True)
class LayoutReference:
    """An artifact in an OCI image-layout directory."""

    directory: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"oci-layout:{self.directory}{tag}{digest}"


@dataclass(frozen=True, slots=True)
class FileReference:
    """A file or directory; a relative path starts at the manifest's directory (OCI-023)."""

    path: str

    def __str__(self) -> str:
        return f"file://{self.path}"


@dataclass(frozen=True, slots=True)
class NameReference:
    """The name of a `[[component]]`."""

    name: str

    def __str__(self) -> str:
        return self.name


Reference = OciReference | LayoutReference | FileReference | NameReference


def _invalid(text: str, why: str, hint: str | None = None) -> TorvynError:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return refused("invalid-reference", why, where=repr(shown), hint=hint)


def parse_digest(text: str) -> str:
    """Return a digest in its one spelling, `sha256:` and 64 lower-case hex digits; upper-case digits are read too (OCI-006).

    Raises:
        TorvynError: (packaging, invalid-reference) for any other algorithm, length or character.
    """
    if not _DIGEST.fullmatch(text):
        raise _invalid(text, "expected a digest: sha256: and 64 hexadecimal digits")
    return text.lower()


def parse_oci(text: str) -> OciReference:
    """Parse `[oci://]registry[:port]/repo[/…][:tag][@digest]` (OCI-013, OCI-014).

    Raises:
        TorvynError: (packaging, invalid-reference), naming the part that is wrong.
    """
    _plain(text)
    rest = text.removeprefix("oci://")
    rest, digest = _cut_digest(rest)
    registry, slash, path = rest.partition("/")
    if not slash or not registry or not path:
        raise _invalid(text, "expected registry/repository", "for example oci://registry.example/team/component:1.0.0")
    match = _REGISTRY.fullmatch(registry)
    if match is None or not _is_port(match["port"]):
        raise _invalid(text, f"{registry!r} is not a registry host with an optional port")
    repository, colon, tag = path.partition(":")
    if not _REPOSITORY.fullmatch(repository) or len(repository) > _MAX_REPOSITORY:
        raise _invalid(
            text, f"{repository!r} is not a repository", "use lower-case letters, digits and . _ - between them, parts joined by /"
        )
    return OciReference(registry.lower(), repository, _checked_tag(text, tag) if colon else None, digest)


def parse_reference(text: str) -> Reference:
    """Parse a component reference in any of its forms (OCI-024).

    Raises:
        TorvynError: (packaging, invalid-reference).
    """
    _plain(text)
    if text.startswith("oci://"):
        return parse_oci(text)
    if text.startswith("oci-layout:"):
        return _parse_layout(text)
    if text.startswith("file://"):
        path = text.removeprefix("file://")
        if not path:
            raise _invalid(text, "file:// needs a path")
        return FileReference(path)
    if "://" in text:
        raise _invalid(text, "unknown kind of reference", "use oci://, file://, oci-layout:, a path or a component name")
    if text.endswith((".wasm", ".torvyn")):
        return FileReference(text)
    if _NAME.fullmatch(text):
        return NameReference(text)
    raise _invalid(text, "expected a component name or a path", "a path ends in .wasm or .torvyn; a directory needs file:// in front")


def _plain(text: str) -> None:
    if not text:
        raise _invalid(text, "the reference is empty")
    if len(text) > MAX_REFERENCE:
        raise _invalid(text, f"the reference is longer than {MAX_REFERENCE} characters")
    if _CONTROL.search(text):
        raise _invalid(text, "the reference holds control characters")


def _cut_digest(text: str) -> tuple[str, str | None]:
    rest, at, digest = text.partition("@")
    return rest, parse_digest(digest) if at else None


def _is_port(text: str | None) -> bool:
    return text is None or 0 < int(text) < 65536


def _checked_tag(text: str, tag: str) -> str:
    if not _TAG.fullmatch(tag):
        raise _invalid(text, f"{tag!r} is not a tag", "use up to 128 letters, digits and _ . - (not first)")
    return tag


def _parse_layout(text: str) -> LayoutReference:
    # The directory may itself hold colons and at-signs: only what reads as a digest or a tag at the end is one.
    rest = text.removeprefix("oci-layout:")
    digest = None
    directory, at, end = rest.rpartition("@")
    if at and end.startswith("sha256:"):
        rest, digest = directory, parse_digest(end)
    tag = None
    directory, colon, end = rest.rpartition(":")
    if colon and "/" not in end:
        rest, tag = directory, _checked_tag(text, end)
    if not rest:
        raise _invalid(text, "oci-layout: needs a directory")
    return LayoutReference(rest, tag, digest)
