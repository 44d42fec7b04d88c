"""The process that runs are forked from: it has imported torch and Lightning once, so each run starts warm and fresh.

It reads one JSON line a command on standard input ({"id", "job"} or {"stop": signal}) and writes one a report on
standard output ({"id", "pid"} or {"id", "exit"}). Nothing is pickled and no ``__main__`` is imported again. Every run
is a child of its own: one that is killed or crashes harms no other. When the sweep that started it goes away in
whatever manner, standard input closes (and on Linux the kernel's parent-death signal comes first): it kills its
children and leaves, so no orphan works on.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import traceback
from typing import Any, TextIO

POLL_SECONDS = 0.05


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies (Linux); leave at once if it died already."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def child(job: dict[str, Any]) -> int:
    """Run one job in a freshly forked process, its output in the run's own log; the exit code says how it ended."""
    from tinylm.compose.execute import execute
    from tinylm.compose.keys import Job

    task = Job.from_json(job)
    task.folder.mkdir(parents=True, exist_ok=True)
    log = os.open(task.folder / "run.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    return execute(task)


def serve(commands: TextIO, reports: int) -> None:
    """Fork and reap until standard input closes."""
    children: dict[int, int] = {}
    descriptor, buffer, open_ = commands.fileno(), b"", True
    while open_ or children:
        if open_ and select.select([descriptor], [], [], POLL_SECONDS)[0]:
            data = os.read(descriptor, 1 << 16)
            if not data:
                for pid in children:
                    os.kill(pid, signal.SIGKILL)
                open_ = False
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                _obey(json.loads(line), children, reports)
        for pid in list(children):
            done, status = os.waitpid(pid, 0 if not open_ else os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                _report(reports, {"id": children.pop(pid), "exit": code})


def _obey(command: dict[str, Any], children: dict[int, int], reports: int) -> None:
    if "stop" in command:
        for pid in children:
            os.kill(pid, int(command["stop"]))
        return
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            die_with_parent(parent)
            code = child(command["job"])
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    children[pid] = command["id"]
    _report(reports, {"id": command["id"], "pid": pid})


def _report(descriptor: int, message: dict[str, Any]) -> None:
    try:
        os.write(descriptor, json.dumps(message).encode() + b"\n")
    except BrokenPipeError:
        os._exit(1)


def main() -> None:
    """``python -m tinylm.compose.nursery PARENT_PID``"""
    die_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the sweep, which tells us what to do
    reports = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints must not mix with the reports
    # torch, Lightning and all of ours: 4 s that each run then saves
    import tinylm.compose.execute
    import tinylm.compose.parts
    import tinylm.runs.lifecycle  # noqa: F401
    from tinylm.runs.provenance import environment

    environment()  # the sources as they were imported, whatever is edited while the sweep goes on
    serve(sys.stdin, reports)


if __name__ == "__main__":
    main()
