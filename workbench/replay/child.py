"""The process a re-run happens in: `python -m workbench.replay.child REQUEST ANSWER [MEMORY_BYTES [AROUND]]`.

It shuts itself in before it loads anything of the user's. AROUND names walls that already stand around it, such as a container.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from workbench.model import CallRecord
from workbench.replay import sandbox
from workbench.replay.protocol import Answer, Request
from workbench.replay.tripwire import Tripwire


def main(request_path: str, answer_path: str, memory_bytes: str = str(sandbox.MEMORY_BYTES), around: str = "") -> int:
    """Read the request, shut the process in, re-run, write the answer. The exit code is 0 whenever there is an answer."""
    request = Request.model_validate_json(Path(request_path).read_bytes())
    folder = Path(request.folder)
    isolation = sandbox.enter([folder], seconds=request.seconds, witness=Path(request.witness), memory_bytes=int(memory_bytes), around=around)
    wire = Tripwire([folder])
    wire.install()

    from workbench.replay.rerun import rerun  # noqa: PLC0415  # langgraph and the user's graph are loaded only inside the sandbox

    answer = rerun(request)
    _write(answer, wire, isolation, Path(answer_path))
    return 0


def _write(answer: Answer, wire: Tripwire, isolation: sandbox.Isolation, path: Path) -> None:
    blocked = tuple(CallRecord(kind=one.kind, name=one.event, answer="blocked", says=one.says) for one in wire.attempts)
    whole = answer.model_copy(update={"records": (*answer.records, *blocked), "isolation": str(isolation), "sandboxed": isolation.sandboxed})
    path.write_text(whole.model_dump_json(), "utf-8")


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads that the agent left behind must not keep the process
