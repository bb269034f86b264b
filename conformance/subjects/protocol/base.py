"""What every message is made of: facets, the three kinds of messages, bounded integers, and values that several facets share."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated

import msgspec

PROTOCOL = 1


class Facet(StrEnum):
    """A side of a runtime that the suite can drive."""

    RESOURCES = "resources"
    STREAMS = "streams"
    FLOWS = "flows"
    GUESTS = "guests"
    CAPABILITIES = "capabilities"
    CONTRACTS = "contracts"
    CONFIG = "config"
    PACKAGING = "packaging"
    OBSERVABILITY = "observability"
    CLI = "cli"


FACET_VERSIONS = dict.fromkeys(Facet, 1)
"""The version of each facet's messages."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A value inside a request or reply."""


class Request(msgspec.Struct, frozen=True, tag_field="op", forbid_unknown_fields=True, omit_defaults=True):
    """Something that the suite asks."""


class Reply(msgspec.Struct, frozen=True, tag_field="re", forbid_unknown_fields=True, omit_defaults=True):
    """Something that a subject answers."""


U32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
U64 = Annotated[int, msgspec.Meta(ge=0)]
"""Sizes, offsets, ids and counts: never negative on the wire, so that no adapter has to guard against it; at most 2^64 - 1."""


def check_finite(ratio: float) -> None:
    """Refuse a number that JSON cannot say (ValueError), so that both doors see the same values."""
    if not math.isfinite(ratio):
        raise ValueError(f"{ratio} has no JSON form: only finite numbers cross the protocol")


class Handle(Message, frozen=True):
    """A buffer handle: slot index and generation, both u32."""

    index: U32
    generation: U32


class TierSetting(Message, frozen=True):
    """A pool tier: how many buffers it keeps, and whether they count as pre-allocated."""

    tier: str
    pool_size: U32
    preallocate: bool = True


class FacetClaim(Message, frozen=True):
    """A facet that a subject offers, with the optional capabilities it has there (`consumer_first`, `leases`, `gap=zero-fill` ...)."""

    facet: Facet
    version: int = 1
    capabilities: tuple[str, ...] = ()
