"""WIT text as tokens: bounded, positioned, documentation kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from torvyn_ref.contract.wit.model import Span
from torvyn_ref.errors import TorvynError

MAX_FILE_BYTES: Final = 1024 * 1024

KEYWORDS: Final = frozenset(
    {"bool", "borrow", "char", "enum", "f32", "f64", "flags", "future", "list", "option", "own", "record", "resource", "result", "s16"}
    | {"s32", "s64", "s8", "stream", "string", "tuple", "type", "u16", "u32", "u64", "u8", "variant"}
    | {
        "as",
        "async",
        "constructor",
        "export",
        "from",
        "func",
        "import",
        "include",
        "interface",
        "package",
        "static",
        "use",
        "with",
        "world",
    }
)
"""Words that are names only with `%` in front."""

_TOKENS = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<docs>///[^\n]*)
  | (?P<comment>//[^\n]*)
  | (?P<open_comment>/\*)
  | (?P<version>(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)
      (?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?)
  | (?P<word>%?(?:[a-z][0-9a-z]*|[A-Z][0-9A-Z]*)(?:-(?:[0-9a-z]+|[0-9A-Z]+))*(?![0-9A-Za-z_-]))
  | (?P<sign>->|[{}()<>,;:=@/.*_])
    """,
    re.VERBOSE,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")


class Kind(StrEnum):
    """What a token is."""

    NAME = "a name"
    KEYWORD = "a keyword"
    VERSION = "a version"
    SIGN = "a sign"
    END = "the end of the file"


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its text (a name's without `%`), its place, and the documentation in front of it."""

    kind: Kind
    text: str
    span: Span
    docs: str = ""


def syntax_error(span: Span, message: str, *, kind: str = "syntax", hint: str | None = None) -> TorvynError:
    """Make the error for text at `span` that is no WIT, or none that is understood here (CON-025)."""
    return TorvynError("contract", kind, message, where=str(span), hint=hint, code="E0100")


def tokens(text: str, file: str) -> list[Token]:
    """Return the tokens of one file, the last being its end.

    Raises:
        TorvynError: subsystem "contract", kind "syntax" for a character that begins nothing or a comment that does not end, "too-large"
            for more than `MAX_FILE_BYTES` bytes.

    """
    if len(text) > MAX_FILE_BYTES or len(text.encode(errors="surrogatepass")) > MAX_FILE_BYTES:
        raise syntax_error(Span(file, 1, 1), f"the file is longer than {MAX_FILE_BYTES} bytes", kind="too-large")
    found: list[Token] = []
    docs: list[str] = []
    at, line, line_start = 0, 1, 0
    while at < len(text):
        span = Span(file, line, at - line_start + 1)
        match = _TOKENS.match(text, at)
        if match is None:
            raise syntax_error(span, f"expected WIT, found {text[at]!r}")
        end = match.end()
        match match.lastgroup:
            case "open_comment":
                end = _comment_end(text, at, span)
            case "docs":
                docs.append(match.group().removeprefix("///").removeprefix(" ").rstrip())
            case "version" | "word" | "sign":
                found.append(_token(match, span, docs))
                docs = []
            case _:
                pass
        skipped = text.count("\n", at, end)
        if skipped:
            line += skipped
            line_start = text.rindex("\n", at, end) + 1
        at = end
    found.append(Token(Kind.END, "", Span(file, line, at - line_start + 1)))
    return found


def _token(match: re.Match[str], span: Span, docs: list[str]) -> Token:
    text = match.group()
    documentation = "\n".join(docs)
    if match.lastgroup == "version":
        return Token(Kind.VERSION, text, span, documentation)
    if match.lastgroup == "sign":
        return Token(Kind.SIGN, text, span, documentation)
    if text.startswith("%"):
        return Token(Kind.NAME, text[1:], span, documentation)
    return Token(Kind.KEYWORD if text in KEYWORDS else Kind.NAME, text, span, documentation)


def _comment_end(text: str, at: int, span: Span) -> int:
    """Return where a block comment ends; block comments nest."""
    depth = 0
    for edge in _BLOCK_EDGE.finditer(text, at):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise syntax_error(span, "the comment that begins here does not end", hint="close it with */")
