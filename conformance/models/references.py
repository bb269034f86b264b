"""References to artifacts, read by the letter of OCI-006, OCI-013 and OCI-014.

    [oci://]registry[:port]/repository[/…][:tag][@digest]

It is a reader by position and not a pattern: what stands before the first `/` is the registry, so a colon there begins a port; the first
`@` begins the digest; a colon after the last `/` begins the tag.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

HEX = frozenset(string.hexdigits)
TAG_FIRST = frozenset(string.ascii_letters + string.digits + "_")
TAG_REST = TAG_FIRST | frozenset(".-")
HOST = frozenset(string.ascii_letters + string.digits + ".-")
PATH_ENDS = frozenset(string.ascii_lowercase + string.digits)
PATH_INNER = PATH_ENDS | frozenset("._-")
TAG_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reference says; a part that is not written is None."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def rendered(self) -> str:
        """Return how it is written: the digest is preferred over the tag, and `latest` stands for neither (OCI-013, OCI-015)."""
        end = f"@{self.digest}" if self.digest else f":{self.tag or 'latest'}"
        return f"{self.registry}/{self.repository}{end}"


def read(text: str) -> Meaning | None:
    """Return what a reference means; None when it has no meaning."""
    rest, at, written = text.removeprefix("oci://").partition("@")
    digest = read_digest(written) if at else None
    if at and digest is None:
        return None
    registry, slash, path = rest.partition("/")
    if not slash or not _is_registry(registry):
        return None
    repository, colon, tag = path.partition(":")
    if colon and not _is_tag(tag):
        return None
    if not all(_is_component(part) for part in repository.split("/")):
        return None
    return Meaning(registry, repository, tag if colon else None, digest)


def is_whole(text: str) -> bool:
    """Tell whether every part that OCI-013 asks for is there, and none is empty; whether they are well formed is another matter."""
    rest, at, digest = text.removeprefix("oci://").partition("@")
    registry, slash, path = rest.partition("/")
    host, colon, port = registry.partition(":")
    repository, mark, tag = path.partition(":")
    return bool(slash and host and repository) and bool(port or not colon) and bool(tag or not mark) and bool(digest or not at)


def read_digest(text: str) -> str | None:
    """Return a digest in its one form, or None."""
    algorithm, _, digits = text.partition(":")
    return f"sha256:{digits.lower()}" if algorithm == "sha256" and len(digits) == 64 and set(digits) <= HEX else None


def _is_registry(text: str) -> bool:
    host, colon, port = text.partition(":")
    if colon and not (port.isdecimal() and port.isascii() and 0 < int(port) < 65536):
        return False
    return bool(host) and set(host) <= HOST and host[0] not in ".-" and host[-1] not in ".-"


def _is_tag(text: str) -> bool:
    return 0 < len(text) <= TAG_LENGTH and text[0] in TAG_FIRST and set(text) <= TAG_REST


def _is_component(text: str) -> bool:
    """Tell whether a path component is lower case; separators stand between letters or digits, so `..` is none (OCI-014)."""
    return bool(text) and set(text) <= PATH_INNER and text[0] in PATH_ENDS and text[-1] in PATH_ENDS and ".." not in text
