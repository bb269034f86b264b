"""The reference of the subject protocol as a page and as JSON Schemas, made from the message types so that they cannot drift apart.

`python -m conformance.subjects.pages` writes `docs/protocol.md`, `docs/schemas/request-line.schema.json` and
`docs/schemas/reply-line.schema.json`; `make docs` does so too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from conformance.subjects import protocol as p
from conformance.subjects.samples import CONDITIONAL, example_of, requests_of

DOCS = Path(__file__).parents[2] / "docs"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMAS = {"request-line": p.RequestLine, "reply-line": p.ReplyLine}

HEAD = """\
<!-- Made by `python -m conformance.subjects.pages` from conformance/subjects/protocol/. Edit the types, not this page. -->

# The subject protocol, version {version}

An adapter is a program that lets the suite drive a runtime. It reads requests from standard input and writes replies to standard output,
one JSON object per line, in whatever language. Everything else (logs, progress, tracebacks) goes to standard error.

```json
{hello}
{declaration}
```

- Every request has an `id`; its reply has the same. There is one reply to each request, in order, and nothing unasked.
- The first request is `hello`, the last one `bye`; after `bye` the adapter answers `done` and ends. It also ends at the end of its input.
- An operation that the runtime refused is a `fault`, with the specification's symbolic kind, and has changed nothing. One that it does not
  have is `unsupported`, with the reason; what a declaration does not name as `unsupported` is claimed with its facet.
- Fields that are equal to their default may be left out. Unknown fields are an error on both sides. Bytes are base64.
- A line has at most {megabytes} MiB. An answer must come within `--reply-timeout` (30 s by default).

Schemas of whole lines: [request-line](schemas/request-line.schema.json), [reply-line](schemas/reply-line.schema.json) (JSON Schema, draft
2020-12). `torvyn-conformance doctor --subject 'stdio:./adapter'` walks through all of it and says whose fault each mismatch is;
`torvyn-conformance new-adapter --lang rust DIR` writes a working beginning.
"""


def page() -> str:
    """Render `docs/protocol.md`."""
    hello = _line(p.RequestLine(1, p.Hello()))
    declaration = _line(p.ReplyLine(1, example_of(p.Declaration)))
    parts = [HEAD.format(version=p.PROTOCOL, hello=hello, declaration=declaration, megabytes=p.LINE_BYTES // (1024 * 1024))]
    parts.append("\n## The session\n")
    parts += [_message(kind) for kind in (p.Hello, p.Bye, p.Declaration, p.Done, p.Fault, p.Unsupported)]
    for facet, version in p.FACET_VERSIONS.items():
        parts.append(f"\n## Facet `{facet}`, version {version}\n")
        parts += [_message(kind) for kind in requests_of(facet)]
    shown = {p.Declaration, p.Done, p.Fault, p.Unsupported}
    parts.append("\n## Replies\n")
    parts += [_message(kind) for kind in p.REPLIES if kind not in shown]
    parts.append("\n## Values inside messages\n")
    parts += [_message(kind) for kind in _values()]
    return "".join(parts)


def schemas() -> dict[str, bytes]:
    """Return the JSON Schema of each kind of line, by file name."""
    found: dict[str, bytes] = {}
    for name, line in SCHEMAS.items():
        schema: dict[str, Any] = {"$schema": DIALECT, "title": f"{name.replace('-', ' ')} of the subject protocol, version {p.PROTOCOL}"}
        schema |= msgspec.json.schema(line)
        found[f"{name}.schema.json"] = msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=1) + b"\n"
    return found


def _message(kind: type[msgspec.Struct]) -> str:
    tag = kind.__struct_config__.tag
    name = f"`{tag}`" if tag else kind.__name__
    lines = [f"\n### {name}\n\n{_prose(kind)}\n"]
    condition = CONDITIONAL.get(str(tag))
    if condition:
        lines.append(f"\nAsked only of subjects that claim `{condition}`.\n")
    rows = list(_fields(kind))
    if rows:
        lines.append("\n| Field | Type | Default |\n|---|---|---|\n")
        lines += [f"| `{name}` | {kind_} | {default} |\n" for name, kind_, default in rows]
    lines.append(f"\n```json\n{msgspec.json.encode(example_of(kind)).decode()}\n```\n")
    return "".join(lines)


def _prose(kind: type[msgspec.Struct]) -> str:
    """Return a message's docstring as Markdown; the list of attributes becomes a list."""
    text = cleandoc(kind.__doc__ or "")
    head, found, attributes = text.partition("\nAttributes:\n")
    lines = [head.rstrip()]
    if found:
        lines.append("")
        for line in attributes.splitlines():
            indent = len(line) - len(line.lstrip())
            if not line.strip():
                continue
            lines.append(f"- {line.strip()}" if indent <= 4 else f"  {line.strip()}")
    return "\n".join(lines).replace("<", "&lt;")


def _fields(kind: type[msgspec.Struct]) -> Iterator[tuple[str, str, str]]:
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    for field in described.fields:
        default = "" if field.required else _default(field)
        yield field.encode_name, _type(field.type), default


def _default(field: inspect.Field) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{msgspec.json.encode(field.default_factory()).decode()}`"
    return f"`{msgspec.json.encode(field.default).decode()}`"


def _type(kind: inspect.Type) -> str:
    match kind:
        case inspect.IntType():
            low = "" if kind.ge is None else f" from {kind.ge}"
            return f"integer{low}" + ("" if kind.le is None else f" to {kind.le}")
        case inspect.StrType():
            return "text"
        case inspect.BytesType():
            return "bytes"
        case inspect.FloatType():
            return "number"
        case inspect.BoolType():
            return "true or false"
        case inspect.NoneType():
            return "null"
        case inspect.AnyType():
            return "anything"
        case inspect.EnumType():
            return " or ".join(f"`{each.value}`" for each in kind.cls)
        case inspect.LiteralType():
            return " or ".join(f"`{each}`" for each in kind.values)
        case inspect.VarTupleType():
            most = "" if kind.max_length is None else f", at most {kind.max_length}"
            return f"list of {_type(kind.item_type)}{most}"
        case inspect.DictType():
            return f"object of {_type(kind.value_type)}"
        case inspect.StructType():
            tag = kind.cls.__struct_config__.tag
            return f"`{tag}`" if tag else f"[{kind.cls.__name__}](#{kind.cls.__name__.lower()})"
        case inspect.UnionType():
            return " or ".join(_type(each) for each in kind.types)
    return type(kind).__name__.removesuffix("Type").lower()


def _values() -> tuple[type[msgspec.Struct], ...]:
    """Return the values that messages are made of, in the order in which they are met; events of a trace are left to docs/traces.md."""
    found: dict[type[msgspec.Struct], None] = {}

    def visit(kind: inspect.Type) -> None:
        match kind:
            case inspect.StructType():
                if issubclass(kind.cls, p.Message) and kind.cls not in found:
                    found[kind.cls] = None
                if issubclass(kind.cls, (p.Message, p.Request, p.Reply)) and kind.cls not in seen:
                    seen.add(kind.cls)
                    for field in kind.fields:
                        visit(field.type)
            case inspect.VarTupleType():
                visit(kind.item_type)
            case inspect.DictType():
                visit(kind.value_type)
            case inspect.UnionType():
                for each in kind.types:
                    visit(each)

    seen: set[type[Any]] = set()
    for message in (*p.REQUESTS, *p.REPLIES):
        visit(inspect.type_info(message))
    return tuple(found)


def _line(line: p.RequestLine | p.ReplyLine) -> str:
    return msgspec.json.encode(line).decode()


def main() -> int:
    """Write the page and the schemas."""
    (DOCS / "protocol.md").write_text(page(), encoding="utf-8")
    for name, schema in schemas().items():
        (DOCS / "schemas" / name).write_bytes(schema)
    sys.stdout.write(f"{DOCS / 'protocol.md'}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
