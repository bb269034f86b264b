"""Flows within what a subject offers: a drawn flow is turned into the nearest one that does without the features that it lacks."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from conformance.subjects.protocol import Answer, EdgeSpec, FlowSpec, Schedule, Script, StageSpec, features_of

ROLE = "flows.run/role="
NOTHING_BUT = frozenset({"error", "trap"})
"""Answers that a component of every role can give."""


def within(spec: FlowSpec, lacking: Collection[str]) -> FlowSpec:
    """Return the flow, with what the subject lacks replaced: other roles by processors, other schedules by consumer-first, and so on."""
    missing = features_of(spec) & frozenset(lacking)
    if not missing:
        return spec
    roles = {name.removeprefix(ROLE) for name in missing if name.startswith(ROLE)}
    others = {stage.name for stage in spec.stages if stage.role in roles}
    stages = tuple(_stage(stage, missing, other=stage.name in others) for stage in spec.stages)
    edges = tuple(replace(edge, port="default") if edge.source in others else edge for edge in spec.edges)
    schedule = Schedule() if f"flows.run/schedule={spec.schedule.policy}" in missing else spec.schedule
    settings = spec.settings
    if "flows.run/time" in missing:
        settings = replace(settings, deadline_ms=None, backoff_ms=0)
    return _sound(replace(spec, stages=stages, edges=edges, schedule=schedule, settings=settings))


def claimed(spec: FlowSpec, capabilities: Collection[str]) -> FlowSpec:
    """Return the flow without the optional features that a subject does not claim: streams block, branches depend, circuits stay closed."""
    edges, settings = spec.edges, spec.settings
    if "rate_limit" not in capabilities:
        edges = tuple(replace(edge, policy="block-producer", rate_per_s=0.0) if edge.rate_per_s else edge for edge in edges)
    if "independent_per_branch" not in capabilities:
        settings = replace(settings, fan_out="min-credit")
    if "circuit_breaker" not in capabilities:
        settings = replace(settings, breaker_threshold=0, breaker_cooldown_ms=0)
    return replace(spec, edges=edges, settings=settings)


def _stage(stage: StageSpec, missing: frozenset[str], *, other: bool) -> StageSpec:
    script = stage.script
    if other:
        answers = tuple(answer if answer.do in NOTHING_BUT else Answer("emit") for answer in script.answers)
        script = replace(script, answers=answers, then=Answer("emit"), flush=Script().flush)
    if "flows.run/lifecycle" in missing:
        script = replace(script, lifecycle=False, init=Script().init)
    script = replace(
        script,
        answers=tuple(_answer(answer, missing) for answer in script.answers),
        then=None if script.then is None else _answer(script.then, missing),
    )
    return replace(stage, script=script, role="processor" if other else stage.role)


def _answer(answer: Answer, missing: frozenset[str]) -> Answer:
    if "flows.run/clones" in missing and answer.clones:
        answer = replace(answer, clones=False)
    if "flows.run/time" in missing and answer.spends_ns:
        answer = replace(answer, spends_ns=0)
    return answer


def _sound(spec: FlowSpec) -> FlowSpec:
    """Leave out edges that have become doubles of others: two ports of a router may have led to one stage."""
    seen: dict[tuple[str, str, str], EdgeSpec] = {}
    for edge in spec.edges:
        seen.setdefault((edge.source, edge.target, edge.port), edge)
    return replace(spec, edges=tuple(seen.values()))
