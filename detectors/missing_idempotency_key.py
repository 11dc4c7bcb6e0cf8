"""An external act that makes something happen anew each time it is called, with no idempotency key recorded.

Acts that merely overwrite (update, cancel, delete) leave the same state behind when repeated and need none. A warning where the same tool does get a key
elsewhere in the run: then this call was forgotten. Otherwise a hint: a key made inside the tool is not in the record.

Why it matters: without a key nobody on the other side can tell a second attempt from a second order.
What to do: give every external act a key made of stable identifiers (the request's id, the order's number), pass it on, and record it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from workbench.analysis.effects import effects_of, overwrites
from workbench.model import RAN_AGENT, Effect, Evidence, Finding, NotEvaluated, Run
from workbench.sketch import sketch, tool, user

SHOWN = 5


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each tool whose acts lack a key, at the first of them."""
    effects = [effect for effect in effects_of(run) if effect.outcome != "prevented" and effect.arguments != {} and not overwrites(effect)]
    acts: dict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        if effect.arguments is not None and RAN_AGENT not in run.step(effect.step).notes:  # an agent's own steps tell what it did
            acts[effect.tool].append(effect)
    if not acts:
        why = f"arguments not recorded: {effects[0].tool}" if effects else "no external acts recorded"
        yield NotEvaluated(detector="missing-idempotency-key", run_id=run.run_id, why=why)
    for attempts in acts.values():
        bare = [effect for effect in attempts if effect.idempotency_key is None]
        if bare:
            yield _finding(run, bare, len(attempts))


def _finding(run: Run, bare: list[Effect], attempts: int) -> Finding:
    first, forgotten = bare[0], len(bare) < attempts
    others = f"; {attempts - len(bare)} others of it do" if forgotten else "; one made inside the tool would not be seen here"
    return Finding(
        detector="missing-idempotency-key",
        run_id=run.run_id,
        severity="warning" if forgotten else "info",
        score=0.6 if forgotten else 0.3,
        step=first.step,
        message=f"{len(bare)} of {attempts} calls of {first.tool} carry no idempotency key (first at step {first.step}){others}",
        numbers={"without_key": len(bare), "acts": attempts, "tool": first.tool},
        evidence=tuple(Evidence.cite(run, effect.step, "$.tool_call.arguments", f"arguments of {effect.tool}, no key among them") for effect in bare[:SHOWN]),
        capability="idempotency",
        item="action-keys",
        refute=f"Look at what {first.tool} sends from step {first.step}: a key in its request, derived from the arguments, refutes this; then record it.",
    )


PAY = {"order": "O-7", "amount": 30}

FIRES_ON = (
    sketch(user("Pay order O-7"), tool("pay_invoice", PAY, "paid")),
    sketch(user("Pay both"), tool("pay_invoice", PAY | {"idempotency_key": "O-7"}, "paid"), tool("pay_invoice", PAY | {"order": "O-8"}, "paid")),
)
QUIET_ON = (
    sketch(user("Pay order O-7"), tool("pay_invoice", PAY | {"idempotency_key": "O-7"}, "paid")),
    sketch(user("Pay order O-7"), tool("pay_invoice", PAY, "paid", idempotency_key="O-7")),
    sketch(user("What do I owe?"), tool("get_invoice", {"order": "O-7"}, "30"), tool("update_address", {"order": "O-7", "city": "Kyoto"}, "ok")),
)
