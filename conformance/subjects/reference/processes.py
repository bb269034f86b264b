"""Projects run from the command line, in a process of its own that is sent signals (CANCEL-017)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from conformance.subjects import protocol as p
from conformance.subjects.reference.parts import ReferenceParts
from conformance.subjects.reference.projects import write_files

PATIENCE_S = 60
"""How long the process may take to end after the signal."""

_COUNTS = re.compile(r"elements +(\d+) in, (\d+) delivered(?:, (\d+) discarded)?")
_STATE = re.compile(r"^(Completed|Cancelled|Failed) ", re.MULTILINE)


def signal_project(parts: ReferenceParts, request: p.SignalProject) -> p.ProjectSignalledReply:
    """Run a project's first flow, wait for an element, send the signal, and read what is said at the end."""
    with TemporaryDirectory(prefix="torvyn-project-") as folder:
        root = Path(folder)
        write_files(root, request.files)
        environment = os.environ | {"XDG_CONFIG_HOME": folder, "XDG_CACHE_HOME": folder}
        command = [*parts.command, "run", folder, "--output", "-", "--offline"]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=folder
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()  # empty, when it ends without one
            process.send_signal(signal.Signals[request.signal])
            try:
                _, said = process.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                return p.ProjectSignalledReply(killed=True)
    text = said.decode(errors="replace")
    state, counts = _STATE.search(text), _COUNTS.search(text)
    entered, delivered, discarded = (int(number or 0) for number in counts.groups()) if counts else (0, 0, 0)
    return p.ProjectSignalledReply(process.returncode < 0, state.group(1) if state else None, entered, delivered, discarded)
