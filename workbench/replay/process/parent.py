"""Starts the process of a re-run with a clean environment, hears what it does, waits for its answer, and stops it when it takes too long."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from workbench.model import Json
from workbench.redaction import SHAPES
from workbench.replay.channel import Hear, Line, listen
from workbench.replay.isolation import IsolationError, Launch, Task, launched, settings_of
from workbench.replay.process import forkserver
from workbench.replay.process.forkserver import ForkserverError, Spawned
from workbench.replay.process.scratch import LOOK_SECONDS, Scratch
from workbench.replay.process.watch import Watch
from workbench.replay.protocol import Answer, Request

if sys.platform == "linux":
    import fcntl

SECRET = re.compile(r"key|token|secret|pass(w|file|phrase|$)|credential|private|auth|cookie|dsn|_pat$|_ur[il]$", re.IGNORECASE)
"""Names of variables that hold secrets; others are told by their value."""
WITHHELD = "withheld-from-re-run"
"""Stands in place of secrets, so that clients which only check that there is one can still be made."""
NO_SECRET = ("XDG_", "LC_", "LANG", "SSH_AUTH_SOCK")
TRACERS = ("OTEL_", "LANGSMITH_", "LANGCHAIN_")
SWITCHES = {
    "LANGSMITH_TRACING": "false",
    "LANGSMITH_TRACING_V2": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGCHAIN_TRACING": "false",
    "LANGGRAPH_STRICT_MSGPACK": "true",
    "OTEL_SDK_DISABLED": "true",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "PYTHONDONTWRITEBYTECODE": "1",
}
Process = subprocess.Popen[str] | Spawned
TAIL_CHARACTERS = 2000
PIPE_BYTES = 1 << 20


class NotStartedError(RuntimeError):
    """A re-run that was not even begun, since this machine does not reach the level of isolation asked for."""


class ProcessError(RuntimeError):
    """The process gave no answer. The message holds the end of what it printed."""


def unheard(_: dict[str, Json]) -> Json:
    """Takes what a re-run says without listening: there is nobody to ask."""
    return {"refused": "nobody listens to this re-run"}


def ask(request: Request, folder: Path, hear: Hear = unheard, waited: Callable[[], float] = lambda: 0.0, watch: Watch | None = None) -> Answer:
    """Have a request done in a process of its own. `folder` must be ours alone; of it the process may only write to `request.folder`.

    `hear` takes each thing the process tells while it runs, and replies where it asks (`workbench.replay.channel`). `waited` is how many seconds it
    had to wait for a person so far: they don't count. ProcessError when it takes too long or dies, NotStartedError when it can't be shut in; one that
    `watch` stopped has an answer that says so.
    """
    watch = watch or Watch()
    question, answer, output = folder / "request.json", Path(request.folder) / "answer.json", folder / "output.txt"
    question.write_text(request.model_dump_json(), "utf-8")
    with (
        output.open("ab") as stream,
        _launched(request, question, answer) as launch,
        _process(launch, stream) as process,
        watch.over(process.kill),
        _Ear(process, hear) as ear,
    ):
        if why := _overran(process, request.seconds, waited, Scratch(Path(request.folder), process.pid, launch.scratch_bytes)):
            raise ProcessError(f"{why}{_tail(output)}")
    if watch.stopped_by and not answer.exists():
        return Answer(ended="stopped", says=f"by {watch.stopped_by}", asked=launch.level, sandboxable=sys.platform == "linux")
    if ear.failure is not None:
        raise ear.failure
    try:
        told = Answer.model_validate_json(answer.read_bytes())
    except (FileNotFoundError, ValidationError):
        raise ProcessError(f"the re-run's process died (status {process.returncode}) without an answer{_tail(output)}") from None
    return told.model_copy(update={"asked": launch.level, "sandboxable": sys.platform == "linux"})


def _process(launch: Launch, errors: IO[bytes]) -> Process:
    """The process that a launch asks for. One of our own at the level "process" is forked from what has LangGraph loaded, where that can be had."""
    if launch.arguments:
        with suppress(ForkserverError):
            return forkserver.spawn(launch.arguments, launch.environment, errors)
    return subprocess.Popen(  # noqa: S603  # our own interpreter and module, or a runtime that the user's project names
        launch.command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=launch.environment,
        start_new_session=True,
        text=True,
        encoding="utf-8",
    )


@contextmanager
def _launched(request: Request, question: Path, answer: Path) -> Iterator[Launch]:
    """The command that does a request, at the level of isolation that its risk asks for. NotStartedError when this machine does not reach it."""
    launch = None
    try:
        settings = settings_of(Path.cwd())
        task = Task(
            question=question,
            answer=answer,
            inside=Path(request.folder),
            outside=Path(request.witness),
            graph=request.graph,
            environment=environment(request.folder),
            seconds=request.seconds,
            memory_bytes=settings.memory_bytes,
        )
        with launched(request, task, settings) as launch:
            yield replace(launch, scratch_bytes=settings.scratch_bytes)
    except IsolationError as error:
        raise (NotStartedError if launch is None else ProcessError)(str(error)) from error


def _overran(process: Process, seconds: float, waited: Callable[[], float], scratch: Scratch) -> str:
    """Wait for a process, not counting how long it had to wait itself. Returns why it had to be killed, empty when it ended."""
    started, left, why = time.monotonic(), seconds, ""
    while left > 0 and not why:
        try:
            process.wait(min(left, LOOK_SECONDS))
        except subprocess.TimeoutExpired:
            left = seconds + waited() - (time.monotonic() - started)
            why = (
                f"the re-run wrote more than {scratch.most / (1 << 30):g} GiB to scratch and was stopped: look for a loop, or set scratch_gib"
                if scratch.full()
                else ""
            )
        else:
            return ""
    process.kill()
    return why or f"the re-run did not end within {seconds:g} s and was stopped: allow it more seconds, or look for a loop"


class _Ear:
    """A thread that hears a process until it ends. What goes wrong in it ends the process, and is kept as `failure`."""

    def __init__(self, process: Process, hear: Hear) -> None:
        self.failure: Exception | None = None
        self._process, self._hear = process, hear
        self._thread = threading.Thread(target=self._listen, name="re-run", daemon=True)

    def __enter__(self) -> _Ear:
        _widen(_open(self._process.stdout))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._thread.join()

    def _listen(self) -> None:
        try:
            listen(Line(_open(self._process.stdout), _open(self._process.stdin), gone=self._hung_up), self._hear)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is raised in the thread that waits
            self.failure = error
            with suppress(ProcessLookupError):
                self._process.kill()

    def _hung_up(self) -> None:
        """Let go of what it can't be told any more."""
        with suppress(BrokenPipeError):
            _open(self._process.stdin).close()


def _widen(pipe: IO[str]) -> None:
    """Let much be told before anybody has heard it, where the system can: a re-run that tells long histories would wait for us otherwise."""
    if sys.platform == "linux":
        with suppress(OSError):  # the system's limit for one user is reached: then it waits
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _open(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise ProcessError("the re-run's process was started without a channel")
    return stream


def environment(folder: str) -> dict[str, str]:
    """Our environment without secrets and exporters, with our module paths; home and temporary files go to a folder that may be written to."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(TRACERS)}
    clean = {name: WITHHELD if _secret(name, value) else value for name, value in kept.items()}
    return {**clean, **SWITCHES, "PYTHONPATH": module_paths(), "HOME": folder, "TMPDIR": folder}


def _secret(name: str, value: str) -> bool:
    """Whether a variable is withheld: for its name, or for what its value looks like, such as an API key or a URL with a password."""
    return (bool(SECRET.search(name)) and not name.startswith(NO_SECRET)) or any(shape.pattern.search(value) for shape in SHAPES if shape.kind == "secret")


def module_paths() -> str:
    """Where this process finds modules, for another process."""
    return os.pathsep.join(path or str(Path.cwd()) for path in dict.fromkeys(sys.path))


def _tail(output: Path) -> str:
    text = output.read_bytes().decode("utf-8", "replace").strip()
    return f". The end of what it printed:\n{text[-TAIL_CHARACTERS:]}" if text else ". It printed nothing"
