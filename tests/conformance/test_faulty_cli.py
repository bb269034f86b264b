"""The faults of the command line: each can be put in place, so that what kills its mutant is the fault, and not its failure."""

import pytest

from conformance.mutants import cli_faults, cli_tool_faults
from conformance.mutants.registry import MUTANTS
from conformance.mutants.zoo import all_mutants
from conformance.subjects import protocol as p
from conformance.subjects.inprocess import InProcess
from conformance.subjects.reference import ReferenceParts, reference_subject
from conformance.subjects.session import Session

FAULTS = [mutant.name.replace("-", "_") for mutant in all_mutants() if mutant.rules[0].startswith("CLI-")]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_put_in_place_and_the_command_line_still_answers(fault):
    assert hasattr(cli_faults, fault) or hasattr(cli_tool_faults, fault)
    reply = Session(InProcess(MUTANTS[fault.replace("_", "-")].subject())).cli.run(p.RunCommand(("--version",)))
    assert (reply.exit_code, reply.stderr) == (0, b"")
    assert reply.stdout.startswith(b"torvyn-ref ")


def test_a_fault_that_fails_is_seen():
    subject = reference_subject(ReferenceParts(command_faults=("conformance.mutants.cli_faults:no_such_fault",)))
    reply = Session(InProcess(subject)).cli.run(p.RunCommand(("--version",)))
    assert reply.exit_code == 70
    assert b"no_such_fault" in reply.stderr


def run(*args, **more):
    return Session(InProcess(reference_subject())).cli.run(p.RunCommand(args, **more))


def test_a_command_finds_its_files_its_input_and_its_variables():
    reply = run("init", "fresh", env={"ANSWER": "{dir}"}, files={"notes/mine.txt": b"mine"})
    assert sorted(reply.files) == ["fresh/Torvyn.toml", "fresh/wit/types.wit", "notes/mine.txt"]
    assert (reply.exit_code, reply.stdout) == (0, b"")


def test_a_file_outside_of_the_directory_is_refused():
    from conformance.errors import Refused

    with pytest.raises(Refused, match="no relative name"):
        run("check", files={"../escape": b""})
    with pytest.raises(Refused, match="none of the files"):
        run("check", executables=("bin/tool",))
