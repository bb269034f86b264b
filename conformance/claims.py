"""What a subject says it offers, held against what it answers.

A subject that claims a facet and declines its operations claims too much: rules that look judged are not. One that answers what it does
not claim claims too little: rules that could be judged are not, and a defect can hide there. Both are findings of their own, beside the
rules, and keep a verdict from being `conformant`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from conformance.errors import SubjectError
from conformance.subjects import protocol as p
from conformance.subjects.samples import CONDITIONAL, example_of, requests_of
from conformance.subjects.session import Session


class Claim(StrEnum):
    """How a declaration and the answers differ."""

    OVER = "over-claim"
    UNDER = "under-claim"
    BROKEN = "no-answer"


class ClaimFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: `operation` is a message's name on the wire, or a facet's name when all of it is meant."""

    kind: Claim
    operation: str
    message: str


def check_claims(session: Session) -> tuple[ClaimFinding, ...]:
    """Ask one example of every request, and compare the answers with the declaration. What is refused is offered.

    After the first request without any answer nothing more is asked: the subject is gone.
    """
    declined = session.declaration.unsupported
    findings: list[ClaimFinding] = []
    for facet in p.FACET_VERSIONS:
        claimed = session.offers(facet)
        capabilities = session.capabilities(facet)
        answered: list[str] = []
        for kind in requests_of(facet):
            name = p.name_of(kind)
            condition = CONDITIONAL.get(name)
            try:
                offered = _offers(session, kind)
            except SubjectError as error:
                findings.append(ClaimFinding(kind=Claim.BROKEN, operation=name, message=f"asked one example of {name}: {error}"))
                return tuple(findings)
            if not claimed:
                answered += [name] if offered else []
            elif offered and name in declined:
                said = declined[name]
                findings.append(
                    ClaimFinding(kind=Claim.UNDER, operation=name, message=f"{name} is declared unsupported ({said}) and answered")
                )
            elif not offered and name not in declined and (condition is None or condition in capabilities):
                because = f" (it claims {condition})" if condition else ""
                message = f"the subject claims the facet {facet} and declines {name}{because}; what it leaves out it must declare"
                findings.append(ClaimFinding(kind=Claim.OVER, operation=name, message=message))
        if answered:
            message = f"the subject does not claim the facet {facet} and answers {', '.join(answered)}: nothing of it is judged"
            findings.append(ClaimFinding(kind=Claim.UNDER, operation=str(facet), message=message))
    for name in sorted(declined.keys() - {p.name_of(request) for request in p.REQUESTS} - set(p.Facet)):
        message = f"{name} is declared unsupported, and is neither an operation nor a facet nor a feature of the protocol"
        if "." in name and "/" not in name and name.partition(".")[0] in set(p.Facet):
            findings.append(ClaimFinding(kind=Claim.OVER, operation=name, message=message))
    return tuple(findings)


def _offers(session: Session, kind: type[p.AnyRequest]) -> bool:
    reply = session.answer(example_of(kind))
    return not isinstance(reply, p.Unsupported)
