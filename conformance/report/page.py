"""The shell of every HTML page: one self-contained file, its style and script inside it, and nothing that may be fetched or run besides.

A page is a template that extends `shell.html`. Everything a subject said reaches it as a value and is escaped; data for a page's script is
embedded by `embedded`. As a second wall, the page's own policy (Content-Security-Policy) lets exactly its style and its scripts work, by
their digests: markup that got through an escape could still neither run nor load anything.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment() -> Environment:
    """Return the templates of this room: autoescape is on for all of them, and an unknown name is an error."""
    return Environment(
        loader=PackageLoader("conformance.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def page(template: str, *, title: str, styles: Sequence[str] = (), scripts: Sequence[str] = (), **values: Any) -> bytes:
    """Return a page: a template that extends `shell.html`, with further files of `templates/` as its style and its script.

    The values are what the template shows. `shell.css` and `shell.js` come first in every page.

    Raises:
        jinja2.UndefinedError: the template wants a value that is not given.
    """
    style = _asset("shell.css", *styles)
    script = _asset("shell.js", *scripts)
    policy = f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; base-uri 'none'; form-action 'none'"
    shown = (
        environment()
        .get_template(template)
        .render(
            window_title=title,
            style=Markup(style),  # noqa: S704 -- our own file, not data
            script=Markup(script),  # noqa: S704 -- our own file, not data
            policy=policy,
            **values,
        )
    )
    return shown.encode("utf-8", "backslashreplace")


def embedded(value: Any) -> Markup:
    """Return a value as JSON for a `<script type="application/json">`: no character of it can end the element or begin markup."""
    text = msgspec.json.encode(value).decode()
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704 -- escaped above


def _asset(*names: str) -> str:
    return "\n".join(_file(name) for name in names)


@cache
def _file(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8").strip()


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
