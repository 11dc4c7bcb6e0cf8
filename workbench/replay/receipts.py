"""The receipt of a fork: what was asked and what ran, and the checks by which it is green. Each check can fail, and says by what it was judged."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench.analysis.effects import counts as is_counted
from workbench.analysis.effects import requests_of_fork
from workbench.comparison.comparison import compare, count_effects
from workbench.literals import text_literal
from workbench.model import CallCounts, CallRecord, Change, Check, Effect, EffectClass, Json, LedgerEntry, NodeCount, Receipt, Run, Status, Step, digest
from workbench.replay.changes import MODEL, named_live
from workbench.replay.effects.ledger import ATTEMPTED, class_of, is_effect
from workbench.replay.protocol import Answer, Ended
from workbench.replay.recording.place import node_path

SHORTEST_SHARED_TEXT = 3
LEAST_SHARED_NUMBER = 10
SPENT = ("over budget: ", "the breaker is open: ")
"""How a meter says that no more may be spent; what refuses a live call puts its own words before."""
MOVED, REPEATED = "moved", "repeated"
REACHED = "it reached for "
"""How the note of a node begins that was refused something, so that its recorded writes were served."""

ENDS: Mapping[Status, Ended] = {"ok": "done", "error": "failed", "interrupted": "interrupted"}
"""How a replay ends whose recorded run has this status. One that was still running has no end to compare with."""
ERROR_TYPE = re.compile(r"(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)\s*(?:[:(]|\Z)")


@dataclass(frozen=True)
class Proof:
    """What a receipt is made of."""

    parent: Run
    run: Run
    prefix: int
    again: Collection[int]
    """The parent's steps that were to be done again."""
    change: Change
    live: tuple[str, ...]
    answer: Answer
    lines: Sequence[LedgerEntry]
    """What the ledger has of this fork."""
    declared: Mapping[str, EffectClass]
    intact: bool
    history: tuple[str, str]
    """Hash of the kept checkpoints as they were copied, and as the fork left them."""
    context: tuple[str, ...] = ()
    """The fields of the run's context that were given with another value than was recorded."""
    requests: tuple[Effect, ...] = ()
    """The effects of what the parent's nodes asked by HTTP themselves."""

    @property
    def records(self) -> tuple[CallRecord, ...]:
        """The calls the fork made."""
        return self.answer.records

    @property
    def went_live(self) -> list[LedgerEntry]:
        """The last line of each live call of a tool."""
        last: dict[str, LedgerEntry] = {one.idempotency_key or str(number): one for number, one in enumerate(self.lines) if one.answered == "live"}
        return [one for one in last.values() if one.kind == "tool"]


def receipt_of(proof: Proof, graph: str, parent_sha256: Mapping[str, str], seconds: float) -> Receipt:
    """The receipt, its checks included."""
    run, answer = proof.run, proof.answer
    return Receipt(
        run_id=run.run_id,
        parent_run_id=proof.parent.run_id,
        forked_at_step=run.forked_at_step or 0,
        change=proof.change,
        context=proof.context,
        live=proof.live,
        graph=graph,
        calls=counts(proof.records),
        records=proof.records,
        effects=count_effects(proof.parent, run, (proof.requests, requests_of_fork(run, proof.records, proof.requests))),
        outcome=outcome(run, answer),
        isolation=answer.isolation,
        isolation_asked=answer.asked,
        isolation_reached=None if answer.asked is None else answer.asked if answer.sandboxed else "guarded",
        parent_sha256=dict(parent_sha256),
        parent_intact=proof.intact,
        prefix_sha256=digest([one.model_dump(mode="json") for one in run.steps[: proof.prefix]]),
        seconds=seconds,
        notes=answer.notes,
        nodes=tuple(nodes(proof)),
        attempts=attempts(proof),
        went_live=tuple(proof.went_live),
        divergences=tuple(divergences(proof.records)),
        stale_reads=tuple(stale_reads(proof.records, proof.declared)),
        spent=answer.spent,
        state_sha256=answer.state,
        history_sha256=proof.history,
        checks=tuple(checks(proof)),
    )


def outcome(run: Run, answer: Answer) -> str:
    """What the fork came to; of a halt, a failure or a stop its first line."""
    first = answer.says.partition("\n")[0]
    return f"{answer.ended}: {first}" if answer.ended in ("halted", "failed", "stopped") else run.outcome


def counts(records: Sequence[CallRecord]) -> CallCounts:
    """Calls by how they were answered; an edited answer was served too. A node that its recorded writes stood for is no call, nor what a person said or put in.

    Of people's answers, one that was changed is none that they gave.
    """
    people = Counter(record.answer for record in records if record.kind == "human")
    given = Counter(record.answer for record in records if record.kind not in ("node", "human", "update"))
    return CallCounts(served=given["served"] + given["edited"], live=given["live"], blocked=given["blocked"], halted=given["halted"], answered=people["served"])


def attempts(proof: Proof) -> dict[str, int]:
    """The fork's own side effects by how they were answered; as in a comparison, what an edit answered or what was stopped is none that was `attempted`."""
    given = Counter(
        one.answer
        for one in proof.records
        if one.kind in ATTEMPTED and is_counted(class_of(one.name, proof.declared.get(one.name), one.kind)[0], live=one.answer == "live")
    )
    refused = min(sum(one.event == "refused" and one.kind != "model" for one in proof.lines), given["halted"])  # what is refused halts, and counts once
    named = {name: given[name] for name in ("served", "edited", "live", "halted", "blocked")} | {"halted": given["halted"] - refused, "refused": refused}
    return {"attempted": named["served"] + named["live"], **named}


def nodes(proof: Proof) -> Iterator[NodeCount]:
    """How often each node was to run again, by the recording, and how often it did."""
    asked = _tasks(step for step in proof.parent.steps if step.index in proof.again)
    ran = _tasks(proof.run.steps[proof.prefix :])
    for name in dict.fromkeys([*asked, *ran]):
        yield NodeCount(node=name, asked=asked[name], ran=ran[name])


def _tasks(steps: Iterable[Step]) -> Counter[str]:
    seen = dict.fromkeys((node_path(one.namespace, one.node), one.task_id) for one in steps if one.task_id)
    return Counter(path for path, _ in seen)


def divergences(records: Sequence[CallRecord]) -> Iterator[str]:
    """What was served otherwise than it was recorded: at another node, again, or with what is scrubbed left out."""
    for one in records:
        if one.answer == "served" and one.from_step is not None and one.says:
            yield f"{one.kind} {one.name} (recording of step {one.from_step}): {one.says}"


# ---- stale reads


def stale_reads(records: Sequence[CallRecord], declared: Mapping[str, EffectClass]) -> Iterator[str]:
    """Reads that were served although something live or edited may have changed what they read.

    That is judged by what the calls share: a read without arguments, or with a text or number that the act had too, reads the same thing.
    """
    written: list[CallRecord] = []
    for one in records:
        if one.kind not in ATTEMPTED:
            continue
        if is_effect(one.name, declared.get(one.name), one.kind):
            written += [one] if one.answer in ("live", "edited") else []
        elif one.answer == "served":
            about = [act for act in written if not _values(one.arguments) or _values(one.arguments) & _values(act.arguments)]
            if about:
                yield f"{one.name} (recording of step {one.from_step}) was read as it was before {about[-1].name} was {about[-1].answer}"


def _values(arguments: Json) -> frozenset[str]:
    """The texts and numbers in a call's arguments that could name a thing."""
    if isinstance(arguments, dict | list):
        return frozenset().union(*(_values(one) for one in (arguments.values() if isinstance(arguments, dict) else arguments)))
    if isinstance(arguments, str):
        return frozenset((arguments.casefold(),)) if len(arguments) >= SHORTEST_SHARED_TEXT else frozenset()
    number = isinstance(arguments, int | float) and not isinstance(arguments, bool) and abs(arguments) >= LEAST_SHARED_NUMBER
    return frozenset((str(arguments),)) if number else frozenset()


# ---- checks

Verdict = tuple[bool | None, str]
"""Whether it holds, None where it doesn't apply, and by what that was judged."""


def checks(proof: Proof) -> Iterator[Check]:
    """Every check with its verdict, in the order in which one would ask."""
    for name, judge in CHECKS.items():
        holds, says = judge(proof)
        yield Check(name=name, verdict="not applicable" if holds is None else "pass" if holds else "fail", says=says)


def _recording(proof: Proof) -> Verdict:
    return proof.intact, "the recorded database has the hash it had before" if proof.intact else "the recorded database changed while the fork ran"


def _history(proof: Proof) -> Verdict:
    recorded, left = proof.history
    return recorded == left, f"the checkpoints before the cut hash to {recorded[:12]} as copied, to {left[:12]} as the fork left them"


def _ended(proof: Proof) -> Verdict:
    stopped = proof.answer.ended == "stopped"
    return not stopped, f"it was stopped {proof.answer.says}, after {len(proof.records)} calls" if stopped else "nobody stopped it"


def _answered(answer: str, none: str) -> Callable[[Proof], Verdict]:
    def judge(proof: Proof) -> Verdict:
        found = [one for one in proof.records if one.answer == answer]
        names = ", ".join(dict.fromkeys(f"{one.kind} {one.name}" for one in found))
        return not found, f"{len(found)} {answer}: {names}" if found else none

    return judge


def _blocked(proof: Proof) -> Verdict:
    """What a node reached for in vain weighs nothing where its recorded writes stood for it: nothing that followed hung on it. It is told all the same."""
    stood_for = "\n".join(one.says for one in proof.records if one.kind == "node" and one.answer == "served" and one.says.startswith(REACHED))
    found = [one for one in proof.records if one.answer == "blocked"]
    times = Counter(one.says for one in found)
    beyond = [one for one in found if not one.says or times[one.says] > stood_for.count(one.says)]
    if found and not beyond:
        return True, f"{len(found)} blocked, all in nodes whose recorded writes were served instead"
    names = ", ".join(dict.fromkeys(f"{one.kind} {one.name}" for one in beyond))
    return not beyond, f"{len(beyond)} blocked: {names}" if beyond else "nothing reached for the world"


def _change(proof: Proof) -> Verdict:
    if proof.change.kind in ("none", "state"):
        return None, _unchanged(proof) if proof.change.kind == "none" else "the state was put into the checkpoint at the cut before it ran"
    if proof.answer.ended == "stopped" and not proof.answer.applied:
        return None, "it was stopped before a call met the change"
    if proof.answer.applied:
        return proof.answer.applied, "the change was met"
    served = dict.fromkeys(one.name for one in proof.answer.records if (one.kind, one.answer) == ("node", "served"))
    more = f"; served from what they wrote, and not run: {', '.join(served)} (execute={list(served)} runs them)" if served else ""
    return proof.answer.applied, f"no call met the change, so the fork says nothing about it{more}"


def _unchanged(proof: Proof) -> str:
    return f"only the run's context was changed ({', '.join(proof.context)}), which each start was given" if proof.context else "nothing was changed"


def _may_differ(proof: Proof) -> bool:
    """Whether the fork was asked for something other than the recorded run's own course."""
    return proof.change.kind != "none" or bool(proof.live) or bool(proof.context)


def _same(proof: Proof) -> Verdict:
    if _may_differ(proof):
        return None, "something was changed or live, so other steps are no surprise"
    rows = compare(proof.parent, proof.run).rows
    others = sum(row.relation != "same" for row in rows)
    return not others, f"{others} of {len(rows)} steps are not as recorded"


def _same_state(proof: Proof) -> Verdict:
    if _may_differ(proof):
        return None, "something was changed or live, so another state is no surprise"
    names = ", ".join(dict.fromkeys(proof.answer.strayed))
    return not names, f"other values than recorded were written by {names}" if names else "every node wrote what it wrote in the recording"


def _end(proof: Proof) -> Verdict:
    """It ended as the recorded run did, and where that failed, with an error of the same type. A change may lead to another end, but to no failure."""
    ended, recorded = proof.answer.ended, ENDS.get(proof.parent.status)
    if _may_differ(proof):
        return failed_anew(proof.parent, ended, proof.answer.says) or (None, "something was changed or live, so another end is no surprise")
    if recorded is None or ended not in ENDS.values():
        return None, "the recorded run was cut off and has no end" if recorded is None else f"it was {ended} before its end"
    errors = _last_errors(proof.parent)
    kind = error_type(proof.answer.says) if ended == "failed" else None
    told = f"it ended as {ended}{f' with {kind}' if kind else ''}, the recorded run as {recorded}{f' with {errors[-1]}' if errors and errors[-1] else ''}"
    if ended == "failed" and recorded == "interrupted":  # of branches beside each other one asks and one fails: a run that has both is told as waiting
        return kind in errors, told
    return ended == recorded and (kind is None or not any(errors) or kind in errors), told


def failed_anew(parent: Run, ended: str, says: str) -> Verdict | None:
    """That a re-run failed where the recorded run did not; None where it did not fail, or that failed too, or was cut off and has no end."""
    recorded = ENDS.get(parent.status)
    if ended != "failed" or recorded in (None, "failed") or error_type(says) in _last_errors(parent):
        return None
    return False, f"it failed, where the recorded run {'waited for a person' if recorded == 'interrupted' else 'did not'}: {says.partition(chr(10))[0]}"


def _last_errors(run: Run) -> list[str | None]:
    """The types of the errors in a run's last start."""
    last = run.steps[-1].invocation if run.steps else 0
    return [error_type(one.error or "") for one in run.steps if one.status == "error" and one.invocation == last]


def error_type(text: str) -> str | None:
    """The type in a recorded error such as `TimeoutError: no answer` or `TimeoutError('no answer')`; None where it names none."""
    found = ERROR_TYPE.match(text)
    return found[1] if found else None


def _state(proof: Proof) -> Verdict:
    if proof.answer.state is None:
        return None, "the graph ended without handing out a state"
    memory, reloaded = proof.answer.state
    return memory == reloaded, f"the last state hashes to {memory[:12]} in memory and to {reloaded[:12]} reloaded from scratch"


def _in_place(proof: Proof) -> Verdict:
    found = [one for one in divergences(proof.records) if MOVED in one or REPEATED in one]
    return not found, "; ".join(found) or "every recording was served where it was made, and once"


def _fresh(proof: Proof) -> Verdict:
    found = list(stale_reads(proof.records, proof.declared))
    return not found, "; ".join(found) or "nothing was read as it was before something live or edited"


def _approved(proof: Proof) -> Verdict:
    """Each live call was named, and each live call of a tool has its own approved line in the ledger."""
    live = [one for one in proof.records if one.answer == "live"]
    if not live:
        return None, "nothing went live"
    unnamed = [f"{one.kind} {one.name}" for one in live if not {one.kind, f"{one.kind}:{one.name}"} & {*proof.live} and not _as_model(one, proof.live)]
    tools = sum(one.kind == "tool" for one in live)
    approved = sum(bool(one.approved_by) for one in proof.went_live)
    says = f"not named as live: {', '.join(unnamed)}" if unnamed else f"{approved} approved lines in the ledger for {tools} live calls of tools"
    return not unnamed and approved >= tools, says


def _as_model(record: CallRecord, live: Collection[str]) -> bool:
    """Whether a model's call goes by another name than the one it was named as, because the change renamed it."""
    return record.kind == "model" and any(one.startswith("model:") for one in live)


def _thought(proof: Proof) -> Verdict:
    asked = [one for one in proof.run.steps[proof.prefix :] if one.kind == "model" and "live" in one.notes]
    answered = [one for one in asked if one.status != "error"]
    if asked and not answered:
        return False, f"the model that was to think anew never answered: {asked[-1].error or 'it failed'}{_outward(proof, asked[-1])}"
    if asked:
        return True, f"{len(answered)} of {len(asked)} live model calls were answered"
    expected = named_live(proof.parent, [one for one in proof.live if one.partition(":")[0] == MODEL]) & set(proof.again)
    if expected and proof.change.kind == "none" and proof.answer.ended == "done":
        return False, f"the model was to think anew at step {min(expected)}, and was not asked at all"
    return None, "no model thought anew"


def _outward(proof: Proof, asked: Step) -> str:
    """What would let a model answer whose client was refused the network inside of the sandbox."""
    if MODEL not in proof.live or not any(one.answer == "blocked" and one.kind == "network" for one in proof.records):
        return ""
    name = asked.model or asked.name
    option, approval = shlex.quote(f"model:{name}"), shlex.quote(name)
    return (
        f"; its client asks over the network, which there is none of in the sandbox: have it asked outside, "
        f"live=[{text_literal(f'model:{name}')}], approve=[{text_literal(name)}] (--live {option} --approve {approval})"
    )


def _settled(proof: Proof) -> Verdict:
    if not proof.went_live:
        return None, "no tool went live"
    doubtful = [one.key for one in proof.went_live if one.event in ("begun", "unknown")]
    return not doubtful, f"nobody knows whether this took effect: {', '.join(doubtful)}" if doubtful else "every live call is known to have ended"


def _within(proof: Proof) -> Verdict:
    beyond = [one.says for one in proof.records if one.answer == "halted" and any(words in one.says.partition("\n")[0] for words in SPENT)]
    return (False, beyond[0]) if beyond else (True, f"{proof.answer.spent.model_calls} live model calls, {proof.answer.spent.steps} calls in all")


def _isolated(proof: Proof) -> Verdict:
    """The level asked for was reached. Where the platform has no sandbox, nobody expects one: that is told, and not held against the fork."""
    answer = proof.answer
    if answer.asked is None:
        return None, "no code of the agent ran"
    if answer.sandboxed:
        return True, f"the level {answer.asked} was asked for and reached"
    says = f"the level {answer.asked} was asked for and not reached: the fork was only guarded"
    return (False, says) if answer.sandboxable or answer.asked != "process" else (None, f"{says}, as this platform offers no sandbox")


CHECKS: Mapping[str, Callable[[Proof], Verdict]] = {
    "recording untouched": _recording,
    "history unchanged": _history,
    "not stopped": _ended,
    "nothing halted": _answered("halted", "every call was answered"),
    "nothing blocked": _blocked,
    "change met": _change,
    "same steps": _same,
    "same state": _same_state,
    "same end": _end,
    "state reloads": _state,
    "served in place": _in_place,
    "no stale reads": _fresh,
    "live as approved": _approved,
    "model answered": _thought,
    "every act settled": _settled,
    "within budget": _within,
    "isolation reached": _isolated,
}
"""What a receipt is judged by."""

HOW_IT_FAILS: Mapping[str, str] = {
    "recording untouched": "a byte of the recorded database is another one after the fork",
    "history unchanged": "a checkpoint from before the cut is another one in the fork's thread",
    "not stopped": "somebody stopped it before its end",
    "nothing halted": "a call had no recorded answer, or was refused",
    "nothing blocked": "something reached for the network, a program or a file, and what followed hung on it",
    "change met": "no call was made that the change applies to",
    "same steps": "an unchanged replay makes other steps than the recording",
    "same state": "in an unchanged replay a node puts other values into the state than the recording did",
    "same end": "it failed where the recorded run did not, or an unchanged replay ends otherwise than that: done, waiting for a person, or failed so",
    "state reloads": "the state reloaded from scratch is not the one in memory",
    "served in place": "a recorded answer was served at another node, or twice",
    "no stale reads": "a read was served as recorded after something live or edited may have changed it",
    "live as approved": "a live call was not named, or has no approved line in the ledger",
    "model answered": "every live call of a model failed, or an unchanged re-run made none, so the fork says nothing about the change",
    "every act settled": "nobody knows whether a live call took effect",
    "within budget": "a call was refused because the budget was spent, or the breaker open",
    "isolation reached": "the level of isolation that was asked for was not reached",
}
"""When each check fails."""
