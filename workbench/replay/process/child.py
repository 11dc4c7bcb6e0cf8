"""The process a re-run happens in: `python -m workbench.replay.process.child REQUEST ANSWER [MEMORY_BYTES [AROUND]]`.

It shuts itself in before it loads anything of the user's. AROUND names walls that already stand around it, such as a container.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from workbench.model import CallRecord
from workbench.replay import channel, sandbox
from workbench.replay.fence.tripwire import Attempt, Tripwire
from workbench.replay.protocol import Request

ORPHANED = 3
"""The exit code of a re-run whose parent was killed: it stops at once, for whoever resumes it works on the same thread."""


def main(request_path: str, answer_path: str, memory_bytes: str = str(sandbox.MEMORY_BYTES), around: str = "") -> int:
    """Read the request, shut the process in, re-run, write the answer. The exit code is 0 whenever there is an answer."""
    line = channel.take_over()
    line.gone = lambda: os._exit(ORPHANED)
    request = Request.model_validate_json(Path(request_path).read_bytes())
    folder = Path(request.folder)
    isolation = sandbox.enter([folder], seconds=request.seconds, witness=Path(request.witness), memory_bytes=int(memory_bytes), around=around)
    line.tell({"isolation": str(isolation), "sandboxed": isolation.sandboxed})
    wire = Tripwire([folder], _Told(line))
    wire.install()

    from workbench.replay.fence.rerun import rerun  # noqa: PLC0415  # langgraph and the user's graph are loaded only inside the sandbox

    answer = rerun(request, line, wire, sandboxed=isolation.sandboxed)
    told = answer.model_copy(update={"records": (), "spans": (), "isolation": str(isolation), "sandboxed": isolation.sandboxed})
    text = json.dumps(told.model_dump(mode="json"), ensure_ascii=False)
    Path(answer_path).write_text(text, "utf-8", "replace")  # an agent may say half a surrogate pair, which UTF-8 can't hold
    return 0


class _Told(list[Attempt]):
    """What the tripwire refused, told as soon as it happens: a kill can't hide it."""

    def __init__(self, line: channel.Line) -> None:
        super().__init__()
        self._line = line

    def append(self, attempt: Attempt) -> None:
        super().append(attempt)
        record = CallRecord(kind=attempt.kind, name=attempt.event, answer="blocked", says=attempt.says)
        self._line.tell({"blocked": record.model_dump(mode="json")})


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads that the agent left behind must not keep the process
