"""The command line around a run, from init to bench (CLI-004, CLI-006 to CLI-009, CLI-011 to CLI-014)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from conformance.areas.commands import ENDLESS, GOOD, JSON, WIT, json_of, must_work, offered, ran, seen, sized
from conformance.areas.projects import CAPITALS, HEAD, LINE, STRAIGHT, project
from conformance.checks import Budget, checks
from conformance.errors import Inconclusive
from conformance.subjects.protocol import CommandRanReply, Facet
from conformance.subjects.session import Session

UNWRITTEN = {name: content for name, content in GOOD.items() if name not in WIT}
"""A good project without WIT of its own."""
TOOLS = ("rustc", "cargo-component", "wasm-tools")
TARGET = "wasm32-wasip2"
QUICK = ("bench", "--duration", "100ms", "--warmup", "0s")


@checks("CLI-004", facet=Facet.CLI, kind="example")
def regressions_conflicts_interruptions(session: Session, budget: Budget) -> None:
    """SIGINT is 130, publishing another artifact under a name that is taken 3, a benchmark that has become worse 3."""
    must_work(session)
    args: tuple[str, ...] = ("run", "--output", "-")
    reply = ran(session, *args, files=ENDLESS, signal="SIGINT")
    budget.expect_equal("CLI-004", reply.exit_code, 130, "the exit code of a run that SIGINT ended", evidence=seen(args, reply))
    if offered(session, "pack", "publish"):
        args = ("publish", "--registry", "local:registry")
        first = _published(session, packed(session, GOOD, "uppercase"))
        other = packed(session, {**first.files, "uppercase.wasm": sized(9000)}, "uppercase")
        reply = ran(session, *args, files=other)
        budget.expect_equal("CLI-004", reply.exit_code, 3, "the exit code of a publish conflict", evidence=seen(args, reply))
        again = ran(session, *args, "--force", files=reply.files)
        evidence = seen((*args, "--force"), again)
        budget.expect_equal("CLI-004", again.exit_code, 0, "the exit code of the same with --force", evidence=evidence)
    if offered(session, "bench"):
        reply = regressed(session, budget, "CLI-004")
        budget.expect_equal("CLI-004", reply.exit_code, 3, "the exit code of a regression", evidence=seen(("bench", "--compare"), reply))


def packed(session: Session, files: Mapping[str, bytes], *names: str) -> dict[str, bytes]:
    """Pack a project and return its files, artifacts among them; all of its components, or those named.

    Raises:
        Inconclusive: it cannot be packed.
    """
    each: list[tuple[str, ...]] = [("--component", name) for name in names]
    for options in each or [()]:
        reply = ran(session, "pack", *options, files=files)
        if reply.exit_code != 0:
            raise Inconclusive(f"nothing can be packed: {seen(('pack', *options), reply)}")
        files = reply.files
    return dict(files)


def _published(session: Session, files: Mapping[str, bytes]) -> CommandRanReply:
    args = ("publish", "--registry", "local:registry", *JSON)
    reply = ran(session, *args, files=files)
    if reply.exit_code != 0:
        raise Inconclusive(f"nothing can be published: {seen(args, reply)}")
    return reply


@checks("CLI-006", facet=Facet.CLI, kind="example")
def init_overwrites_nothing(session: Session, budget: Budget) -> None:
    """Bad names are refused and make no file; a directory that is not empty is left alone, unless --force is given."""
    if not offered(session, "init"):
        return
    for name in ("a", "_x", "A-b_9", "x" * 64, "init"):
        args: tuple[str, ...] = ("init", name)
        reply = ran(session, *args, files={})
        evidence = seen(args, reply)
        made = [path for path in reply.files if path == f"{name}/Torvyn.toml"]
        budget.expect_equal(
            "CLI-006", (reply.exit_code, len(made)), (0, 1), f"exit code and manifests for the name {name!r}", evidence=evidence
        )
    for name in ("", "1abc", "9", "-abc", "--", "a b", "a/b", "ä", "a.b", "..", "x" * 65, "a\n", "a:b", "a$"):
        args = ("init", "--", name)
        reply = ran(session, *args, files={})
        evidence = seen(args, reply)
        budget.expect_equal("CLI-006", reply.exit_code, 2, f"the exit code for the name {name!r}", evidence=evidence)
        budget.expect_equal("CLI-006", sorted(reply.files), [], f"files made for the name {name!r}", evidence=evidence)
    mine = {"mine/Torvyn.toml": b"mine", "mine/notes.txt": b"keep me"}
    for files in (mine, {"mine/notes.txt": b"keep me"}, {"mine/.hidden": b""}):
        args = ("init", "mine")
        reply = ran(session, *args, files=files)
        evidence = seen(args, reply)
        refused = reply.exit_code in {1, 2}
        message = "the exit code for a directory that is not empty"
        budget.expect("CLI-006", refused, message, expected="2 (or 1)", found=reply.exit_code, evidence=evidence)
        budget.expect_equal("CLI-006", reply.files, files, "what is in that directory", evidence=evidence)
    args = ("init", "mine", "--force")
    reply = ran(session, *args, files=mine)
    found = (reply.exit_code, reply.files.get("mine/notes.txt"))
    budget.expect_equal("CLI-006", found, (0, b"keep me"), "exit code and a file besides, with --force", evidence=seen(args, reply))
    args = ("check", "--manifest", "fresh/Torvyn.toml")
    if offered(session, "check"):
        reply = ran(session, *args, files=ran(session, "init", "fresh", files={}).files)
        budget.expect_equal("CLI-006", reply.exit_code, 0, "the exit code of check for a fresh project", evidence=seen(args, reply))


@checks("CLI-007", facet=Facet.CLI, kind="example")
def check_reports_everything(session: Session, budget: Budget) -> None:
    """A mistake in the configuration and one in the WIT are reported together; no WIT is a warning, an error with --strict."""
    must_work(session)
    bad_wit = {"wit/types.wit": b"package local:judged@0.1.0;\n\ninterface types {\n  type line = strong-string-that-is-none;\n}\n"}
    misspelt = UNWRITTEN["Torvyn.toml"] + b"\n[runtime]\ndrain_timeout_msec = 5\n"
    args: tuple[str, ...]
    both = {**UNWRITTEN, **bad_wit, "Torvyn.toml": misspelt}
    for args in (("check",), ("check", *JSON)):
        reply = ran(session, *args, files=both)
        evidence = seen(args, reply)
        budget.expect("CLI-007", reply.exit_code != 0, "a project with two mistakes passes", evidence=evidence)
        text = (reply.stdout + reply.stderr).decode(errors="replace")
        for what in ("drain_timeout_msec", "strong-string-that-is-none"):
            budget.expect("CLI-007", what in text, f"check does not report {what}", evidence=evidence)
    for files, what in (({**GOOD, **bad_wit}, "strong-string-that-is-none"), ({**GOOD, "Torvyn.toml": misspelt}, "drain_timeout_msec")):
        reply = ran(session, "check", files=files)
        refused = reply.exit_code != 0 and what.encode() in reply.stdout + reply.stderr
        budget.expect("CLI-007", refused, f"check with one mistake, {what}", expected="it is reported", evidence=seen(("check",), reply))
    reply = ran(session, "check", *JSON, files=UNWRITTEN)
    found, evidence = json_of(reply) or {}, seen(("check", *JSON), reply)
    budget.expect_equal("CLI-007", reply.exit_code, 0, "the exit code of check without wit/", evidence=evidence)
    warnings = json.dumps(found.get("warnings", []))
    budget.expect("CLI-007", "wit" in warnings, "a missing wit/ is no warning", found=warnings, evidence=evidence)
    for args in (("check", "--strict"), ("check", "--strict", *JSON)):
        reply = ran(session, *args, files=UNWRITTEN)
        evidence = seen(args, reply)
        budget.expect("CLI-007", reply.exit_code != 0, "--strict lets a warning pass", evidence=evidence)
        listed = b"wit" in reply.stdout + reply.stderr
        budget.expect("CLI-007", listed, "--strict does not list the warning", evidence=evidence)
    reply = ran(session, "check", "--strict")
    budget.expect_equal(
        "CLI-007", reply.exit_code, 0, "the exit code of --strict without warnings", evidence=seen(("check", "--strict"), reply)
    )


@checks("CLI-008", facet=Facet.CLI, kind="example")
def link_knows_its_flows(session: Session, budget: Budget) -> None:
    """Without --flow every flow is linked, with it the one named; a name that no flow has fails."""
    if not offered(session, "link"):
        return
    good = GOOD["Torvyn.toml"]
    circle = project({**LINE, "again": CAPITALS}, (*STRAIGHT, ("middle", "again", ""), ("again", "middle", "")))["Torvyn.toml"]
    head, found, flow = circle.partition(b"[flow.main.nodes.numbers]")
    assert found, head
    two = {**GOOD, "Torvyn.toml": good + (found + flow).replace(b"flow.main", b"flow.other")}
    for args, code in (
        (("link",), 1),
        (("link", "--flow", "main"), 0),
        (("link", "--flow", "other"), 1),
    ):
        reply = ran(session, *args, files=two)
        budget.expect_equal("CLI-008", reply.exit_code, code, f"the exit code of {' '.join(args)}", evidence=seen(args, reply))
    for name in ("mian", "MAIN", "", "main.nodes"):
        args = ("link", "--flow", name)
        for files in (GOOD, two):
            reply = ran(session, *args, files=files)
            evidence = seen(args, reply)
            failed = reply.exit_code not in {0, None}
            message = f"the exit code for the flow {name!r}, which there is not"
            budget.expect("CLI-008", failed, message, expected="a failure", found=reply.exit_code, evidence=evidence)


@checks("CLI-009", facet=Facet.CLI, kind="example")
def no_flow_is_said(session: Session, budget: Budget) -> None:
    """Without a flow link, run, trace and bench end with 2, and say config."""
    for command in ("link", "run", "trace", "bench"):
        if not offered(session, command):
            continue
        for more in ("", '[[component]]\nname = "uppercase"\npath = "uppercase.wasm"\n'):
            files = {**GOOD, "Torvyn.toml": (HEAD + more).encode()}
            reply = ran(session, command, files=files)
            evidence = seen((command,), reply)
            budget.expect_equal("CLI-009", reply.exit_code, 2, f"the exit code of {command} without a flow", evidence=evidence)
            budget.expect("CLI-009", reply.stderr.strip(), f"{command} does not say why", evidence=evidence)
        if command != "trace":  # whose standard output is the trace
            reply = ran(session, command, *JSON, files={**GOOD, "Torvyn.toml": HEAD.encode()})
            category = (json_of(reply) or {}).get("category")
            evidence = seen((command, *JSON), reply)
            budget.expect_equal("CLI-009", category, "config", f"the category of {command} without a flow", evidence=evidence)


def _digests(text: str) -> set[str]:
    return set(re.findall(r"[0-9a-f]{64}", text))


@checks("CLI-011", facet=Facet.CLI, kind="example")
def publish_does_what_it_says(session: Session, budget: Budget) -> None:
    """The digest that publish reports is of a file that is in the registry now; a registry that does not answer is a failure."""
    if not offered(session, "pack", "publish"):
        return
    files = packed(session, GOOD)
    args: tuple[str, ...]
    for args in (("publish", "--registry", "local:registry", *JSON), ("publish", "--registry", "local:deep/er", *JSON)):
        reply = ran(session, *args, files=files)
        evidence = seen(args, reply)
        budget.expect_equal("CLI-011", reply.exit_code, 0, "the exit code of publishing locally", evidence=evidence)
        place = args[2].removeprefix("local:")
        there = {hashlib.sha256(content).hexdigest() for name, content in reply.files.items() if name.startswith(f"{place}/")}
        told = _digests(reply.stdout.decode(errors="replace"))
        budget.expect("CLI-011", told, "publish reports no digest", evidence=evidence)
        budget.expect(
            "CLI-011", told <= there, "a digest that is reported is of nothing published", expected=there, found=told, evidence=evidence
        )
        sources = {hashlib.sha256(content).hexdigest() for name, content in files.items()}
        copied = bool(there & sources)
        budget.expect("CLI-011", copied, "the artifact itself is not in the registry", expected="a copy", found=there, evidence=evidence)
    for where in ("127.0.0.1:1/judged/thing", "localhost:1/judged"):
        args = ("publish", "--registry", where)
        for options in ((), JSON):
            reply = ran(session, *args, *options, files=files)
            failed = reply.exit_code not in {0, None}
            evidence = seen((*args, *options), reply)
            budget.expect("CLI-011", failed, "publishing where nobody answers succeeds", found=reply.exit_code, evidence=evidence)
            lied = (json_of(reply) or {}).get("success") is True
            budget.expect("CLI-011", not lied, "publishing where nobody answers reports success", evidence=evidence)


def _toolbox(*without: str) -> tuple[dict[str, bytes], list[str]]:
    """Return stand-ins for the tools, as files of a directory bin/."""
    said = {
        "rustc": f'case "$*" in *target*) echo {TARGET};; *) echo "rustc 1.90.0 (0123456 2025-09-01)";; esac',
        "rustup": f"echo {TARGET}",
        "cargo": 'case "$*" in *component*) echo "cargo-component 0.21.1";; *) echo "cargo 1.90.0";; esac',
        "cargo-component": 'echo "cargo-component-component 0.21.1"',
        "wasm-tools": 'echo "wasm-tools 1.240.0"',
    }
    if TARGET in without:
        said["rustup"] = "echo x86_64-unknown-linux-gnu"
        said["rustc"] = 'case "$*" in *target*) echo /nowhere;; *) echo "rustc 1.90.0 (0123456 2025-09-01)";; esac'
    if "cargo-component" in without:
        said["cargo"] = 'case "$*" in *component*) exit 101;; *) echo "cargo 1.90.0";; esac'
    files = {f"bin/{name}": f"#!/bin/sh\n{text}\n".encode() for name, text in said.items() if name not in without}
    return files, list(files)


@checks("CLI-012", facet=Facet.CLI, kind="example")
def doctor_fails_when_something_is_wrong(session: Session, budget: Budget) -> None:
    """With all tools doctor is content; without any one of them, the target, or a good Torvyn.toml it ends with 1 and names it."""
    if not offered(session, "doctor"):
        return

    def examined(files: Mapping[str, bytes], *without: str) -> tuple[CommandRanReply, dict[str, Any]]:
        tools, executables = _toolbox(*without)
        reply = ran(session, "doctor", files={**files, **tools}, executables=executables, env={"PATH": "{dir}/bin"})
        return reply, {"missing": without, **seen(("doctor",), reply)}

    reply, evidence = examined(GOOD)
    if reply.exit_code != 0:
        raise Inconclusive(f"doctor does not take our stand-ins for tools: {evidence}")
    text = (reply.stdout + reply.stderr).decode(errors="replace")
    silent = [name for name in (*TOOLS, TARGET, "Torvyn.toml") if name not in text]
    budget.expect("CLI-012", not silent, "doctor does not say that it looked", expected=silent, evidence=evidence)
    for tool in (*TOOLS, TARGET):
        reply, evidence = examined(GOOD, tool)
        budget.expect_equal("CLI-012", reply.exit_code, 1, f"the exit code of doctor without {tool}", evidence=evidence)
        lines = (reply.stdout + reply.stderr).decode(errors="replace").splitlines()
        named = any(tool in line and "FAIL" in line for line in lines)
        budget.expect("CLI-012", named, f"doctor does not mark {tool} as missing", evidence=evidence)
    reply, evidence = examined({**GOOD, "Torvyn.toml": b"[torvyn\n"})
    budget.expect_equal("CLI-012", reply.exit_code, 1, "the exit code of doctor with a broken Torvyn.toml", evidence=evidence)
    reply = ran(session, "doctor", *JSON, env={"PATH": "{dir}/bin"})
    lied = reply.exit_code != 1 or (json_of(reply) or {}).get("success") is True
    budget.expect("CLI-012", not lied, "doctor reports success without a single tool", evidence=seen(("doctor", *JSON), reply))


@checks("CLI-013", facet=Facet.CLI, kind="example")
def inspect_invents_nothing(session: Session, budget: Budget) -> None:
    """A target that is not there is a configuration error; a component or an artifact that is cut off, changed or no such thing fails."""
    if not offered(session, "inspect"):
        return
    good = GOOD["uppercase.wasm"]
    reply = ran(session, "inspect", "uppercase.wasm")
    if reply.exit_code != 0:
        raise Inconclusive(f"a good component cannot be inspected: {seen(('inspect', 'uppercase.wasm'), reply)}")
    for target in ("no-such-file.wasm", "no/such/artifact.torvyn"):
        args: tuple[str, ...] = ("inspect", target)
        reply = ran(session, *args)
        evidence = seen(args, reply)
        missing = reply.exit_code in {1, 2}
        message = "the exit code for a target that is not there"
        budget.expect("CLI-013", missing, message, expected="2 (or 1)", found=reply.exit_code, evidence=evidence)
    corrupt = {"cut-off": good[: len(good) // 2], "empty": b"", "words": b"not a component at all", "header": good[:8] + b"\xff" * 40}
    for name, content in corrupt.items():
        _refuses(session, budget, f"a component that is {name}", ("inspect", "bad.wasm"), {"bad.wasm": content})
    if not offered(session, "pack"):
        return
    artifacts = {name: content for name, content in packed(session, GOOD, "uppercase").items() if ".torvyn/artifacts/" in name}
    taken = [name for name, content in artifacts.items() if ran(session, "inspect", name, files={name: content}).exit_code == 0]
    if not taken:
        raise Inconclusive(f"nothing that was packed can be inspected: {sorted(artifacts)}")
    for name in taken:
        content = artifacts[name]
        middle = len(content) // 2
        changed = content[:middle] + bytes(each ^ 0xFF for each in content[middle : middle + 8]) + content[middle + 8 :]
        for what, bad in (("cut off", content[:middle]), ("changed", changed), ("empty", b"")):
            _refuses(session, budget, f"an artifact that is {what}", ("inspect", name), {name: bad})


def _refuses(session: Session, budget: Budget, what: str, args: tuple[str, ...], files: Mapping[str, bytes]) -> None:
    for options in ((), JSON):
        reply = ran(session, *args, *options, files=files)
        failed = reply.exit_code not in {0, None} and (json_of(reply) or {}).get("success") is not True
        evidence = seen((*args, *options), reply)
        budget.expect("CLI-013", failed, f"{what} is inspected", expected="a failure", found=reply.exit_code, evidence=evidence)


def _scaled(data: Any, *, better: bool) -> Any:
    """Return a report with every rate a thousand times as high, and every time a thousand times as short; or the other way round."""
    factor = 1000.0 if better else 0.001

    def scaled(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: scaled(key, each) for key, each in value.items()}
        if isinstance(value, list):
            return [scaled(name, each) for each in value]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        if name.endswith("per_sec"):
            return value * factor
        return value / factor if name.endswith(("_us", "_ns")) else value

    return scaled("", data)


def _saved(session: Session, budget: Budget, rule: str) -> tuple[str, dict[str, bytes]]:
    """Measure once, and return the name of the file that --baseline named, and all files."""
    args = (*QUICK, "--baseline", "before")
    reply = ran(session, *args)
    evidence = seen(args, reply)
    if reply.exit_code != 0:
        raise Inconclusive(f"a good flow cannot be measured: {evidence}")
    named = [name for name in reply.files if "before" in name and name not in GOOD]
    budget.expect(rule, named, "--baseline names no file that is there", expected="a file named `before`", evidence=evidence)
    return named[0], dict(reply.files)


def regressed(session: Session, budget: Budget, rule: str, *, better: bool = True) -> CommandRanReply:
    """Compare a flow with a report that was a thousand times as good, or as bad."""
    name, files = _saved(session, budget, rule)
    try:
        report = json.loads(files[name])
    except ValueError as error:
        raise Inconclusive(f"{name} is no JSON, so that no better baseline can be made of it: {error}") from error
    files[name] = json.dumps(_scaled(report, better=better)).encode()
    return ran(session, *QUICK, "--compare", name, files=files)


LOOKS: Mapping[str, Callable[[str], object]] = {
    "json": lambda text: isinstance(json.loads(text), dict),
    "csv": lambda text: "," in text,
    "markdown": lambda text: "|" in text,
    "pretty": lambda text: text,
}
"""How one can tell that a report is in a format."""


@checks("CLI-014", facet=Facet.CLI, kind="example")
def bench_fails_on_a_regression(session: Session, budget: Budget) -> None:
    """Beside a better baseline bench ends with 3, beside a worse one with 0; --baseline, --report and --report-format are honoured."""
    if not offered(session, "bench"):
        return
    for better, code in ((True, 3), (False, 0)):
        reply = regressed(session, budget, "CLI-014", better=better)
        what = "better" if better else "worse"
        evidence = seen((*QUICK, "--compare", "..."), reply)
        budget.expect_equal(
            "CLI-014", reply.exit_code, code, f"the exit code of bench beside a baseline that was much {what}", evidence=evidence
        )
    for kind, fits in LOOKS.items():
        args = (*QUICK, "--report", f"report.{kind}", "--report-format", kind)
        reply = ran(session, *args)
        evidence = seen(args, reply)
        text = reply.files.get(f"report.{kind}", b"").decode(errors="replace")
        try:
            good = bool(text.strip()) and bool(fits(text))
        except ValueError:
            good = False
        message = f"the report in the format {kind}"
        budget.expect("CLI-014", good, message, expected=f"a file report.{kind}, in that format", found=text[:300], evidence=evidence)
    texts = {kind: ran(session, *QUICK, "--report", "r", "--report-format", kind).files.get("r") for kind in ("json", "csv")}
    budget.expect("CLI-014", texts["json"] != texts["csv"], "--report-format changes nothing", evidence=texts)
