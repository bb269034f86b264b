"""The session: a subject introduces itself, and the answers that any request may get."""

from __future__ import annotations

from typing import Any, Literal

from conformance.subjects.protocol.base import PROTOCOL, FacetClaim, Reply, Request


class Hello(Request, frozen=True, tag="hello"):
    """Open the session: the protocol version that the suite speaks."""

    protocol: int = PROTOCOL


class Declaration(Reply, frozen=True, tag="declaration"):
    """Who the subject is and what it offers; what it leaves out it leaves out with a reason.

    `unsupported` names facets (`guests`), operations (`resources.clone`), and features of an operation (`flows.run/role=router`;
    `conformance.subjects.protocol.features` lists them). A check plays around what is left out here, and says so.
    """

    name: str
    version: str
    protocol: int
    facets: tuple[FacetClaim, ...]
    language: str = ""
    unsupported: dict[str, str] = {}


class Bye(Request, frozen=True, tag="bye"):
    """Close the session; the subject answers `done` and ends."""


class Done(Reply, frozen=True, tag="done"):
    """The operation did what it should, and has nothing to say."""


class Fault(Reply, frozen=True, tag="fault"):
    """The operation was refused and has changed nothing. `kind` is the specification's symbolic kind, in kebab-case."""

    kind: str
    message: str = ""
    fields: dict[str, Any] = {}


class Unsupported(Reply, frozen=True, tag="unsupported"):
    """The subject does not offer this operation."""

    reason: str


class Broke(Reply, frozen=True, tag="broke"):
    """The runtime broke, and an adapter that outlived it says so: it panicked, aborted, hung, or did what its language leaves undefined.

    What it had opened is gone. `at` is the place in the runtime's source, where it is known.
    """

    how: Literal["panic", "abort", "hang", "undefined-behaviour"]
    message: str = ""
    at: str = ""
