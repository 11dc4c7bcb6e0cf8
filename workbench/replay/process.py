"""Starts the process of a re-run with a clean environment, waits for its answer, and stops it when it takes too long."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from pydantic import ValidationError

from workbench.redaction import SHAPES
from workbench.replay.protocol import Answer, Request

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
TAIL_CHARACTERS = 2000


class ProcessError(RuntimeError):
    """The process gave no answer. The message holds the end of what it printed."""


def ask(request: Request, folder: Path) -> Answer:
    """Have a request done in a process of its own. `folder` must be ours alone; of it the process may only write to `request.folder`."""
    question, answer, output = folder / "request.json", Path(request.folder) / "answer.json", folder / "output.txt"
    question.write_text(request.model_dump_json(), "utf-8")
    command = [sys.executable, "-m", "workbench.replay.child", str(question), str(answer)]
    with output.open("wb") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment(request.folder), start_new_session=True)  # noqa: S603  # our own interpreter and module
        try:
            status = process.wait(request.seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ProcessError(
                f"the re-run did not end within {request.seconds:g} s and was stopped: allow it more seconds, or look for a loop{_tail(output)}"
            ) from None
    try:
        return Answer.model_validate_json(answer.read_bytes())
    except (FileNotFoundError, ValidationError):
        raise ProcessError(f"the re-run's process died (status {status}) without an answer{_tail(output)}") from None


def environment(folder: str) -> dict[str, str]:
    """Our environment without secrets and exporters, with our module paths; home and temporary files go to a folder that may be written to."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(TRACERS)}
    clean = {name: WITHHELD if _secret(name, value) else value for name, value in kept.items()}
    paths = os.pathsep.join(path or str(Path.cwd()) for path in dict.fromkeys(sys.path))
    return {**clean, **SWITCHES, "PYTHONPATH": paths, "HOME": folder, "TMPDIR": folder}


def _secret(name: str, value: str) -> bool:
    """Whether a variable is withheld: for its name, or for what its value looks like, such as an API key or a URL with a password."""
    return (bool(SECRET.search(name)) and not name.startswith(NO_SECRET)) or any(shape.pattern.search(value) for shape in SHAPES if shape.kind == "secret")


def _tail(output: Path) -> str:
    text = output.read_bytes().decode("utf-8", "replace").strip()
    return f". The end of what it printed:\n{text[-TAIL_CHARACTERS:]}" if text else ". It printed nothing"
