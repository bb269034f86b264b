"""The command line: results, failures, exit codes, durations, and how a run stops (CLI-001 to CLI-005, CLI-010, CLI-015)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.areas.projects import CAPITALS, LINE, NUMBERS, PROCESSOR, SINK, SOURCE, STRAIGHT, Node, project
from conformance.checks import Budget, checks
from conformance.errors import Inconclusive
from conformance.subjects.guests import component
from conformance.subjects.protocol import CommandRanReply, Facet, RunCommand
from conformance.subjects.session import Session

WIT = {"wit/types.wit": b"package local:judged@0.1.0;\n\ninterface types {\n  type line = string;\n}\n"}
"""A project's own WIT, so that nothing is missing."""
GOOD = {**project(LINE, STRAIGHT), **WIT}
TWO_LINES = b"00000000ABCDEFGH\n00000001ABCDEFGH\n"
"""What the good project delivers."""
MANY: Node = (NUMBERS[0], NUMBERS[1], 'config = "count=100000000"')
ENDLESS = {**project({**LINE, "numbers": MANY}, STRAIGHT), **WIT}
BROKEN = {**GOOD, "Torvyn.toml": GOOD["Torvyn.toml"] + b"\n[flow.main\n"}
ESCAPE = b"\x1b["
JSON = ("--format", "json")


@dataclass(frozen=True, slots=True)
class Case:
    """A command that fails for a known reason: the categories that say it, its exit code, and a piece of text that its report holds."""

    args: tuple[str, ...]
    files: Mapping[str, bytes]
    categories: tuple[str, ...]
    code: int
    names: str = ""
    env: dict[str, str] = field(default_factory=dict)


OWN = {
    "config": ("file", "suggestion"),
    "contract": ("diagnostics",),
    "link": ("diagnostics",),
    "runtime": ("context",),
    "packaging": ("suggestion",),
    "security": ("suggestion",),
    "environment": ("fix",),
    "io": ("path",),
}
"""The fields that a failure of each category has besides those of all."""

CIRCLE = (*STRAIGHT, ("middle", "again", ""), ("again", "middle", ""))
FAILURES: Mapping[str, Case] = {
    "broken configuration": Case(("check",), BROKEN, ("config",), 2, "Torvyn.toml"),
    "broken configuration of a run": Case(("run",), BROKEN, ("config",), 2, "Torvyn.toml"),
    "a processor in a source's place": Case(
        ("check",), {**project({**LINE, "numbers": ("uppercase", SOURCE, "")}, STRAIGHT), **WIT}, ("contract", "link"), 1, "numbers"
    ),
    "a circle": Case(("link",), {**project({**LINE, "again": CAPITALS}, CIRCLE), **WIT}, ("link", "contract"), 1, "again"),
    "a capability that was not granted": Case(
        ("link",), {**project({**LINE, "end": ("stdout-sink", SINK, "")}, STRAIGHT), **WIT}, ("security", "link"), 1, "stdio"
    ),
    "a component that traps": Case(
        ("run",), {**project({**LINE, "middle": ("trap-unreachable", PROCESSOR, "")}, STRAIGHT), **WIT}, ("runtime",), 1, "middle"
    ),
    "a registry that nobody answers for": Case(
        ("publish", "--registry", "127.0.0.1:1/judged"), {**GOOD, "later": b"uppercase"}, ("packaging",), 1
    ),
    "an input that is not there": Case(("run", "--input", "no-such-file.txt"), GOOD, ("io", "config"), 2, "no-such-file.txt"),
}
"""One failure of each category that can be provoked from outside. Where the specification leaves open which part finds the fault, both are
right: whether a role fits is contract or link, a missing grant security or link."""


def offered(session: Session, *commands: str) -> bool:
    """Tell whether the subject has these commands; if not, they are passed over and noted."""
    return not session.lacks(*(f"cli.run/command={command}" for command in commands))


def ran(
    session: Session,
    *args: str,
    files: Mapping[str, bytes] = GOOD,
    executables: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
    signal: Any = "",
) -> CommandRanReply:
    """Run a command line to its end."""
    return session.cli.run(RunCommand(args, dict(files), tuple(executables), env=dict(env or {}), signal=signal))


def seen(args: Iterable[str], reply: CommandRanReply) -> dict[str, Any]:
    """Return what a finding about a command shows: the command line, and what came of it."""
    return {
        "args": list(args),
        "exit_code": reply.exit_code,
        "stdout": reply.stdout[:2000].decode(errors="replace"),
        "stderr": reply.stderr[:2000].decode(errors="replace"),
        "files": sorted(reply.files),
    }


def json_of(reply: CommandRanReply) -> dict[str, Any] | None:
    """Return standard output as the one JSON object that it is; None when it is anything else."""
    try:
        found = json.loads(reply.stdout)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def must_work(session: Session) -> None:
    """Make sure that a good project runs, or nothing can be said.

    Raises:
        Inconclusive: it does not.
    """
    reply = ran(session, "run")
    if reply.exit_code != 0:
        raise Inconclusive(f"a good project does not run: {seen(('run',), reply)}")


def fail(session: Session, case: Case) -> CommandRanReply:
    """Run a command that fails; an artifact is packed before it is published, as `later` says."""
    if "later" not in case.files:
        return ran(session, *case.args, *JSON, files=case.files, env=case.env)
    packed = ran(
        session, "pack", "--component", "uppercase", files={name: content for name, content in case.files.items() if name != "later"}
    )
    if packed.exit_code != 0:
        raise Inconclusive(f"nothing can be packed: {seen(('pack',), packed)}")
    return ran(session, *case.args, *JSON, files=packed.files, env=case.env)


def needs(case: Case) -> tuple[str, ...]:
    """Return the commands that a case takes."""
    return (case.args[0], "pack") if "later" in case.files else (case.args[0],)


@checks("CLI-001", facet=Facet.CLI, kind="example")
def results_are_one_json_object(session: Session, budget: Budget) -> None:
    """With --format json every command prints one pretty object and nothing else; what a component prints does not get in between."""
    must_work(session)
    chatty = project(
        {**LINE, "middle": ("wasi-stdout", PROCESSOR, "")},
        STRAIGHT,
    )
    declared = b'[[component]]\nname = "wasi-stdout"\n'
    text = chatty["Torvyn.toml"].replace(declared, declared + b'capabilities = ["stdio:stdout"]\n')
    chatty["Torvyn.toml"] = text + b'[security.grants.middle]\ncapabilities = ["stdio:stdout"]\n'
    warned = {name: content for name, content in GOOD.items() if name not in WIT}
    commands: tuple[tuple[tuple[str, ...], Mapping[str, bytes]], ...] = (
        (("check",), GOOD),
        (("check",), warned),
        (("link",), GOOD),
        (("run",), GOOD),
        (("run",), {**chatty, **WIT}),
        (("init", "fresh"), {}),
        (("pack",), GOOD),
        (("inspect", "uppercase.wasm"), GOOD),
        (("bench", "--duration", "50ms", "--warmup", "0s"), GOOD),
    )
    for args, files in commands:
        if not offered(session, args[0]):
            continue
        reply = ran(session, *args, *JSON, files=files)
        evidence = seen((*args, *JSON), reply)
        budget.expect_equal("CLI-001", reply.exit_code, 0, f"the exit code of {args[0]}", evidence=evidence)
        found = json_of(reply)
        budget.expect("CLI-001", found is not None, f"{args[0]} prints something else than one JSON object", evidence=evidence)
        assert found is not None
        budget.expect_equal("CLI-001", str(found.get("success")), "True", f"`success` of {args[0]}", evidence=evidence)
        budget.expect_equal("CLI-001", found.get("command"), args[0], f"`command` of {args[0]}", evidence=evidence)
        budget.expect("CLI-001", "data" in found, f"the result of {args[0]} has no `data`", found=sorted(found), evidence=evidence)
        empty = "warnings" in found and not found["warnings"]
        budget.expect("CLI-001", not empty, f"{args[0]} has empty `warnings` instead of none", evidence=evidence)
        pretty = len(reply.stdout.splitlines()) > 1
        budget.expect("CLI-001", pretty, f"the JSON of {args[0]} is not pretty", expected="several lines", evidence=evidence)
    for args in (("check",), ("link",)):
        if offered(session, args[0]):
            reply = ran(session, *args)
            evidence = seen(args, reply)
            budget.expect_equal("CLI-001", reply.stdout, b"", f"standard output of {args[0]} for people", evidence=evidence)
            budget.expect("CLI-001", reply.stderr.strip(), f"{args[0]} says nothing on standard error", evidence=evidence)


@checks("CLI-002", facet=Facet.CLI, kind="example")
def failures_are_json_too(session: Session, budget: Budget) -> None:
    """One failure of each category prints one object with `error`, category, detail, and what belongs to the category."""
    must_work(session)
    for what, case in FAILURES.items():
        if not offered(session, *needs(case)):
            continue
        reply = fail(session, case)
        evidence = {"case": what, **seen((*case.args, *JSON), reply)}
        found = json_of(reply)
        budget.expect("CLI-002", found is not None, f"{what}: standard output is something else than one JSON object", evidence=evidence)
        assert found is not None
        budget.expect_equal("CLI-002", str(found.get("error")), "True", f"{what}: `error`", evidence=evidence)
        category = found.get("category")
        expected = " or ".join(case.categories)
        budget.expect("CLI-002", category in case.categories, f"{what}: the category", expected=expected, found=category, evidence=evidence)
        detail = found.get("detail")
        budget.expect("CLI-002", isinstance(detail, str) and detail, f"{what}: `detail` says nothing", found=detail, evidence=evidence)
        named = case.names in json.dumps(found)
        budget.expect("CLI-002", named, f"{what}: the report does not name {case.names}", evidence=evidence)
        missing = [name for name in OWN[str(category)] if name not in found]
        budget.expect("CLI-002", not missing, f"{what}: a failure of {category} lacks a field", expected=missing, evidence=evidence)
        if category in {"contract", "link"}:
            told = found["diagnostics"]
            budget.expect("CLI-002", isinstance(told, list) and told, f"{what}: no diagnostics", found=told, evidence=evidence)
        for name in ("exit_code", "errors"):  # upstream 0.1.1 has neither
            if name == "exit_code" and name in found:
                budget.expect_equal("CLI-002", found[name], reply.exit_code, f"{what}: `exit_code`", evidence=evidence)
            if name == "errors" and name in found:
                budget.expect("CLI-002", isinstance(found[name], list) and found[name], f"{what}: `errors` is empty", evidence=evidence)

    if offered(session, "doctor"):
        reply = ran(session, "doctor", *JSON, env={"PATH": "{dir}/bin"})
        found, evidence = json_of(reply) or {}, seen(("doctor", *JSON), reply)
        said = (found.get("error"), found.get("category"), "fix" in found)
        message = "error, category and fix of a doctor that finds no tool"
        budget.expect_equal("CLI-002", said, (True, "environment", True), message, evidence=evidence)


@checks("CLI-003", facet=Facet.CLI, kind="example")
def exit_codes_tell_classes_apart(session: Session, budget: Budget) -> None:
    """Success is 0, wrong usage, configuration and files 2, everything that was refused or failed 1; --format changes nothing."""
    must_work(session)
    for what, case in FAILURES.items():
        if offered(session, *needs(case)):
            reply = fail(session, case)
            evidence = {"case": what, **seen((*case.args, *JSON), reply)}
            budget.expect_equal("CLI-003", reply.exit_code, case.code, f"the exit code for {what}", evidence=evidence)
            if "later" not in case.files:
                plain = ran(session, *case.args, files=case.files)
                evidence = {"case": what, **seen(case.args, plain)}
                budget.expect_equal("CLI-003", plain.exit_code, case.code, f"the exit code for {what}, without JSON", evidence=evidence)
    for args, code in (
        (("run", "--no-such-option"), 2),
        (("no-such-command",), 2),
        (("run", "--limit", "many"), 2),
        (("check",), 0),
        (("run", "--limit", "1"), 0),
    ):
        reply = ran(session, *args)
        budget.expect_equal("CLI-003", reply.exit_code, code, f"the exit code of {' '.join(args)}", evidence=seen(args, reply))


GOOD_DURATIONS = ("1h", "1.5s", "20000ms", "0.5m", "1.25h", "60s")
BAD_DURATIONS = ("10", "", "-1s", "nans", "infs", "s", "1", "1.5", "1d", "five", "1s1", "--1s", "1e400s", "NaNms", "-0.5m", "infinitys")


@checks("CLI-005", facet=Facet.CLI, kind="example")
def durations_have_a_unit(session: Session, budget: Budget) -> None:
    """A number, decimals allowed, and ms, s, m or h is a duration; everything else is refused before anything runs."""
    must_work(session)
    for text in GOOD_DURATIONS:
        args = ("run", f"--timeout={text}", "--output", "out.txt")
        reply = ran(session, *args)
        budget.expect_equal("CLI-005", reply.exit_code, 0, f"the exit code with the duration {text!r}", evidence=seen(args, reply))
    for text in BAD_DURATIONS:
        args = ("run", f"--timeout={text}", "--output", "out.txt")
        reply = ran(session, *args)
        evidence = seen(args, reply)
        budget.expect_equal("CLI-005", reply.exit_code, 2, f"the exit code with the duration {text!r}", evidence=evidence)
        budget.expect("CLI-005", "out.txt" not in reply.files, f"a flow ran with the duration {text!r}", evidence=evidence)


def output_of(reply: CommandRanReply) -> list[bytes]:
    """Return the lines of the file that a run's output went to."""
    return reply.files.get("out.txt", b"").splitlines()


@checks("CLI-010", facet=Facet.CLI, kind="example")
def a_run_stops_when_asked(session: Session, budget: Budget) -> None:
    """A flow that never ends stops at --limit, at --timeout and at SIGINT; one that ends stops by itself, with all that it made."""
    must_work(session)
    whole = ("run", "--output", "out.txt")
    args: tuple[str, ...]
    reply = ran(session, *whole)
    budget.expect_equal("CLI-010", output_of(reply), TWO_LINES.splitlines(), "what a run delivers", evidence=seen(whole, reply))
    for limit in (1, 5, 100):
        args = (*whole, "--limit", str(limit))
        reply = ran(session, *args, files=ENDLESS)
        evidence = seen(args, reply)
        found = (reply.exit_code, len(output_of(reply)))
        budget.expect_equal("CLI-010", found, (0, limit), "exit code and elements of an endless flow with a limit", evidence=evidence)
    args = (*whole, "--timeout", "200ms")
    reply = ran(session, *args, files=ENDLESS)
    budget.expect_equal("CLI-010", reply.exit_code, 0, "the exit code of an endless flow with a timeout", evidence=seen(args, reply))
    args = ("run", "--output", "-")
    reply = ran(session, *args, files=ENDLESS, signal="SIGINT")
    ended = reply.exit_code is not None and reply.exit_code >= 0
    budget.expect("CLI-010", ended, "an endless flow after SIGINT", expected="an end", found=reply.exit_code, evidence=seen(args, reply))


@checks("CLI-010", facet=Facet.CLI, kind="example")
def options_of_a_run_have_effects(session: Session, budget: Budget) -> None:
    """--input replaces what the source makes, --output says where it goes, --config overrides, --log-level says how much is told."""
    must_work(session)
    text = b"one\ntwo words\n\nthree"
    args: tuple[str, ...] = ("run", "--input", "in.txt", "--output", "out.txt")
    reply = ran(session, *args, files={**GOOD, "in.txt": text})
    expected = [b"ONE", b"TWO WORDS", b"", b"THREE"]
    budget.expect_equal("CLI-010", output_of(reply), expected, "the lines of --input, in capitals", evidence=seen(args, reply))
    args = ("run", "--output", "elsewhere/out.txt")
    reply = ran(session, *args, files={**GOOD, "elsewhere/here": b""})
    found = reply.files.get("elsewhere/out.txt")
    budget.expect_equal("CLI-010", found, TWO_LINES, "the file that --output names", evidence=seen(args, reply))
    args = ("run", "--output", "out.txt", "--config", "flow.main.nodes.numbers.config=count=1")
    reply = ran(session, *args)
    budget.expect_equal("CLI-010", len(output_of(reply)), 1, "elements with a configuration of 1", evidence=seen(args, reply))
    said = {level: ran(session, "run", "--log-level", level).stderr for level in ("error", "debug")}
    more = len(said["debug"].splitlines()) > len(said["error"].splitlines())
    evidence = {level: text[:2000].decode(errors="replace") for level, text in said.items()}
    budget.expect("CLI-010", more, "--log-level debug says no more than error", evidence=evidence)
    args = ("run", "--log-level", "shout")
    reply = ran(session, *args)
    budget.expect_equal("CLI-010", reply.exit_code, 2, "the exit code with a log level that there is none of", evidence=seen(args, reply))


def sized(total: int) -> bytes:
    """Return a component of so many bytes: a good one with a custom section that means nothing."""
    plain = component("uppercase")
    padding = total - len(plain) - 1 - 5
    assert padding > 2, "a component can only be made larger"
    length = bytes(((padding >> shift) & 0x7F) | (0x80 if shift < 28 else 0) for shift in range(0, 35, 7))
    return plain + b"\x00" + length + b"\x01x" + bytes(padding - 2)


SIZES = {5 * 1024 + 512: "5.5 KiB", 10 * 1024: "10.0 KiB", 1024 * 1024: "1.0 MiB", 3 * 1024 * 1024 // 2: "1.5 MiB"}


@checks("CLI-015", facet=Facet.CLI, kind="example")
def readable_without_colour(session: Session, budget: Budget) -> None:
    """In a pipe, with NO_COLOR and with --color never there is no escape code, and [ok] and [FAIL]; with colour there are ✓ and ✗."""
    must_work(session)
    ways: tuple[tuple[tuple[str, ...], dict[str, str], bool], ...] = (
        ((), {}, False),
        (("--color", "auto"), {"TERM": "xterm-256color"}, False),
        (("--color", "auto"), {"NO_COLOR": "1"}, False),
        (("--color", "never"), {"FORCE_COLOR": "1"}, False),
        (("--color", "always"), {"TERM": "xterm-256color"}, True),
    )
    for options, env, coloured in ways:
        for files, good in ((GOOD, True), (FAILURES["a circle"].files, False)):
            args = (*options, "check")
            reply = ran(session, *args, files=files, env=env)
            evidence = {"env": env, **seen(args, reply)}
            symbol = {(True, True): "✓", (True, False): "[ok]", (False, True): "✗", (False, False): "[FAIL]"}[good, coloured]
            text = reply.stderr.decode(errors="replace")
            budget.expect("CLI-015", symbol in text, "the symbol of a check", expected=symbol, evidence=evidence)
            escaped = ESCAPE in reply.stderr or ESCAPE in reply.stdout
            budget.expect_equal("CLI-015", escaped, coloured, "whether there are escape codes", evidence=evidence)
    if offered(session, "inspect"):
        for size, words in SIZES.items():
            args = ("inspect", "sized.wasm")
            reply = ran(session, *args, files={"sized.wasm": sized(size)})
            text = (reply.stdout + reply.stderr).decode(errors="replace")
            found = re.findall(r"[0-9.]+ [KMG]iB", text)
            evidence = seen(args, reply)
            budget.expect("CLI-015", words in found, f"the size of {size} bytes", expected=words, found=found, evidence=evidence)


__all__ = ["BROKEN", "ENDLESS", "GOOD", "JSON", "WIT", "json_of", "must_work", "offered", "ran", "seen", "sized"]
