"""Which tool calls change the world, and when two of them are the same act.

What the user's project declares of a tool ([tool.workbench.tools]) is believed; otherwise its name is read: verbs that only look, verbs that act. A
guess is marked as one. Declarations are put on the steps when a run is derived (`with_declared`), so that a run tells the same wherever it is looked
at and detectors need nothing but the run; `renormalise` puts on new ones.

The business key of an act is its tool with the arguments that identify it: keys that only name the attempt (idempotency key, request id, timestamp)
are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from workbench.analysis.approvals import kept_from
from workbench.model import NOT_MADE, UNCALLED, Answered, CallRecord, Cause, Effect, EffectClass, Interaction, Json, Run, Step, canonical

Outcome = Literal["done", "unknown", "failed", "prevented"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


READS = _words("""
    get list search find fetch read check lookup look query show view describe count calculate compute estimate quote compare validate verify
    summarise summarize think plan recall browse open inspect monitor preview retrieve load parse classify rank translate convert
""")
ACTS = _words("""
    book buy order purchase pay charge refund transfer send email mail message notify post publish submit create add insert update modify change
    edit set write delete remove cancel close approve reject issue schedule reserve invite share upload deploy restart execute grant revoke
    withdraw deposit place call reply forward assign trigger merge commit push exchange return contact ask remind ping nudge escalate request wire
""")
OVERWRITES = re.compile(r"(^|_)(set|update|edit|write|modify|change|delete|remove|cancel|close)(_|$)")
IN_WORKSPACE = re.compile(r"^(target_?)?(path|file|file_?(name|path)|dir(ectory)?|command|cmd)$")
"""Arguments of acts on a workspace: a file that is written over, a command that is run there."""
SAFE_METHODS, REPEATABLE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE")), frozenset(("PUT", "DELETE"))
INFERENCE = re.compile(
    r"/chat/completions$|/v1/(?:completions|responses|messages|embeddings|moderations|rerank)$|/api/(?:chat|generate|embed)$|:(?:streamG|g)enerateContent$"
)
"""Where models are asked, by the ends of the providers' paths (OpenAI's and those that speak like it, Anthropic's, Ollama's, Google's)."""
HANDS_OVER = re.compile(r"^(transfer|hand(ed)?_?(off|over)|escalate)_to_", re.IGNORECASE)
"""The conversation goes on elsewhere; nothing is done to the world."""
IDEMPOTENCY_KEYS = re.compile(
    r"^(x[-_])?(idempotency[-_]?(key|token|id)|request[-_]?(id|key|token)|client[-_]?(request[-_]?)?token|dedup(e|lication)?[-_]?(id|key))$", re.IGNORECASE
)
ATTEMPT_ONLY = re.compile(r"^(timestamp|now|nonce|attempt|retry|retry[-_]?count|trace[-_]?id|sent[-_]?at|requested[-_]?at)$", re.IGNORECASE)
UNKNOWN_OUTCOME = re.compile(
    r"timed?[\s_-]?out|deadline|connection (reset|aborted|closed|lost)|broken pipe|no (answer|response|reply)|gateway|\b50[234]\b|eof", re.IGNORECASE
)
ANSWERS: dict[str, Answered] = {"served": "served", "edited": "edited", "halted": "stopped", "blocked": "stopped", UNCALLED: "uncalled"}
"""The notes of a re-run's steps whose tool was not called, and what answered instead."""
ACTING = frozenset(("effect", "idempotent"))
"""The classes of tools that change the world."""
NOT_CARRIED_OUT = re.compile(
    r"""\b(?:nothing|no\s+(?:changes?|edits?|files?|updates?))\s+(?:(?:was|were|has|have|been)\s+){0,2}(?:changed|made|applied|saved|updated|written|modified)\b
    |\b(?:was|were|has|have|is|are|did|could)(?:\s+not|n['’]t)\s+(?:been\s+|be\s+)?
      (?:appl(?:y|ied)|saved?|written|carried\ out|executed?|made|sent|processed|completed?)\b
    |\bintroduc\w+\s+(?:a\s+|new\s+|\d+\s+){0,2}(?:syntax|pars\w+|lint\w*|compil\w+)\s+errors?\b|\b0\s+(?:rows?|records?)\s+(?:were\s+)?(?:affected|updated|changed)\b
    |\A\s*usage:\s""",
    re.IGNORECASE | re.VERBOSE,
)
"""A tool's word that it left everything as it was: a refused edit, a message not sent, a command that was answered with how to use it."""
HEAD = 300
"""Characters of a result in which a tool says what it did."""
SAYS_ERROR = re.compile(r"\W*(error|exception|failed|failure|traceback|fatal|timed?[\s_-]?out)\b(?!\W*(none|null|false|0\b))", re.IGNORECASE)


def classify(tool: str) -> EffectClass:
    """Guess from a tool's name whether calling it changes the world. The first verb that is known decides."""
    if HANDS_OVER.match(tool):
        return "unknown"
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", tool).lower())
    for word in words:
        if word in READS:
            return "read-only"
        if word in ACTS:
            return "effect"
    return "unknown"


def classify_request(method: str, url: str) -> EffectClass:
    """What an HTTP request does, by its method's definition (RFC 9110, 9.2): safe ones only read, PUT and DELETE may be repeated, others act.

    To ask a model takes a POST too, and changes nothing.
    """
    if method in SAFE_METHODS or INFERENCE.search(url):
        return "read-only"
    return "idempotent" if method in REPEATABLE_METHODS else "effect"


def effect_class(step: Step) -> EffectClass:
    """What the tool of a step does: as declared, else by its name."""
    return step.declared or classify(tool_name(step))


def is_act(step: Step) -> bool:
    """Whether the tool of a step changes the world, be it only once."""
    return effect_class(step) in ACTING


def counts(effect: EffectClass, *, live: bool) -> bool:
    """Whether a call of this class is a side effect. Of a tool that nobody knows, one that a fork really made."""
    return effect in ACTING or (effect == "unknown" and live)


def tool_name(step: Step) -> str:
    """The name of the tool that a step called."""
    return step.tool_call.name if step.tool_call else step.name


def with_declared(run: Run, declared: Mapping[str, EffectClass], first: int = 0) -> Run:
    """The run with what is declared of its tools on its steps, from the `first` on, and nothing left of what was declared before."""
    steps = tuple(_declaring(step, declared) if step.index >= first else step for step in run.steps)
    return run if all(one is other for one, other in zip(steps, run.steps, strict=True)) else run.model_copy(update={"steps": steps})


def _declaring(step: Step, declared: Mapping[str, EffectClass]) -> Step:
    said = declared.get(tool_name(step)) if step.kind == "tool" else None
    return step if step.declared == said else step.model_copy(update={"declared": said})


def overwrites(effect: Effect) -> bool:
    """Whether an act done twice leaves the same behind as done once: it is declared so, sets, removes or closes something, or works on files."""
    return effect.repeatable or bool(OVERWRITES.search(effect.tool.lower())) or in_workspace(effect.arguments)


def in_workspace(arguments: Mapping[str, Json] | None) -> bool:
    """Whether an act with these arguments works on the agent's own files or shell, so that nothing outside has changed yet."""
    return any(IN_WORKSPACE.match(name.lower()) for name in arguments or ())


def idempotency_key(arguments: dict[str, Json] | None) -> str | None:
    """The idempotency key among a call's arguments, None where there is none."""
    return next((str(value) for name, value in (arguments or {}).items() if IDEMPOTENCY_KEYS.match(name) and value), None)


def business_key(tool: str, arguments: dict[str, Json] | None) -> str:
    """The tool and the arguments that make two calls the same act, as text: `book_flight(flight="NH 11", passenger="Ada")`."""
    kept = {name: value for name, value in sorted((arguments or {}).items()) if not IDEMPOTENCY_KEYS.match(name) and not ATTEMPT_ONLY.match(name)}
    return f"{tool}({', '.join(f'{name}={canonical(value)}' for name, value in kept.items())})"


def failure(step: Step) -> str | None:
    """The error a tool call ended with: the recorded one, else a result that says it is one, as a tool in a chat log can only say it in words."""
    if step.status == "error" or step.error:
        return step.error or "failed"
    result = step.result
    if isinstance(result, dict):
        said = result.get("error") or (result.get("message", "failed") if str(result.get("status")).lower() in {"error", "failed"} else None)
        return str(said) if said else None
    return result if isinstance(result, str) and SAYS_ERROR.match(result) else None


def outcome_unknown(step: Step) -> bool:
    """Whether a tool call ended in a way that leaves open whether it took effect: timed out, broke off, or never came back."""
    return step.status == "running" or bool(UNKNOWN_OUTCOME.search(failure(step) or ""))


def effects_of(run: Run) -> tuple[Effect, ...]:
    """Every attempted side effect of a run in time order, with the cause of each repetition.

    A repetition is a `resume` when it stands in a later invocation, a `model` one when a model call lies between (the model asked again,
    or one that asked for both at once), else a `retry` by the code around the tool. A call that a fork
    answered with another result, or stopped, or that a person refused, counts as prevented.
    """
    refused = kept_from(run)
    found: list[Effect] = []
    last: dict[str, Step] = {}
    asking: Step | None = None
    for step in run.steps:
        asking = step if step.kind == "model" else asking
        if step.kind != "tool" or step.status == "interrupted" or not counts(effect_class(step), live="live" in step.notes):
            continue
        arguments = step.tool_call.arguments if step.tool_call else None
        name = tool_name(step)
        key = business_key(name, arguments)
        found.append(
            Effect(
                tool=name,
                key=key,
                idempotency_key=idempotency_key(arguments) or step.idempotency_key,
                step=step.index,
                arguments=arguments,
                outcome="prevented" if step.index in refused else _outcome(step),
                answered="refused" if step.index in refused else _answered(run, step),
                cause=_cause(last.get(key), asking, step),
                guessed=step.declared is None,
                repeatable=step.declared == "idempotent",
            )
        )
        last[key] = step
    return tuple(found)


def requests_of(exchanges: Iterable[Interaction]) -> tuple[Effect, ...]:
    """The side effects among the HTTP calls that a recorded run's nodes made themselves, which are no steps of it."""
    return tuple(_request(one, one.step) for one in exchanges if _acts(one))


def requests_of_fork(run: Run, records: Sequence[CallRecord], before: Iterable[Effect]) -> tuple[Effect, ...]:
    """The same of a fork: those that it made again, as its `records` tell, and of those `before`, its parent's, what stands."""
    again = {one.from_step for one in records if one.kind == "http"}
    whole = {one.from_step for one in records if (one.kind, one.answer) == ("node", "served")}
    standing = (one for one in before if one.step not in again and (one.step < (run.forked_at_step or 0) or one.step in whole))
    made = (one for one in records if one.kind == "http" and _acts(one, live=one.answer == "live"))
    return (*(one.model_copy(update={"answered": "inherited"}) for one in standing), *(_request(one, one.from_step or 0) for one in made))


def _acts(one: Interaction | CallRecord, *, live: bool = False) -> bool:
    method, _, url = one.name.partition(" ")
    return one.kind == "http" and counts(classify_request(method, url), live=live)


def _request(one: Interaction | CallRecord, step: int) -> Effect:
    arguments = one.arguments if isinstance(one.arguments, dict) else {}
    answer = one.answer if isinstance(one, CallRecord) else ""
    outcome: Outcome = "prevented" if answer in NOT_MADE else "done"
    if isinstance(one, Interaction) and one.error:
        outcome = "unknown" if UNKNOWN_OUTCOME.search(one.error) else "failed"
    key = business_key(one.name, arguments)
    return Effect(tool=one.name, key=key, step=step, arguments=arguments, outcome=outcome, answered=ANSWERS.get(answer))


def attempted(run: Run) -> int:
    """How many side effects a run attempted; those that a fork's edit answered, or that were stopped or refused, don't count."""
    return sum(effect.outcome != "prevented" for effect in effects_of(run))


def _outcome(step: Step) -> Outcome:
    if NOT_MADE.intersection(step.notes):
        return "prevented"
    if outcome_unknown(step):
        return "unknown"
    return "failed" if failure(step) or _left_undone(step) else "done"


def _left_undone(step: Step) -> bool:
    """Whether a tool that raised nothing says that it did nothing."""
    return isinstance(step.result, str) and NOT_CARRIED_OUT.search(step.result[:HEAD]) is not None


def _answered(run: Run, step: Step) -> Answered | None:
    """What a fork answered a call with instead of making it; a call from before the cut, of which nothing is noted, is the parent's own."""
    noted = next((ANSWERS[note] for note in step.notes if note in ANSWERS), None)
    before_cut = run.forked_at_step is not None and step.index < run.forked_at_step and "live" not in step.notes
    return noted or ("inherited" if before_cut else None)


def _cause(before: Step | None, asking: Step | None, step: Step) -> Cause:
    if before is None:
        return "first"
    if before.invocation != step.invocation:
        return "resume"
    if asking is None:
        return "retry"
    return "model" if asking.index > before.index or _asked_for(asking, step) > 1 else "retry"


def _asked_for(asking: Step, step: Step) -> int:
    """How many times one model call asked for the act of a step."""
    if asking.output is None or step.tool_call is None:
        return 0
    wanted = business_key(step.tool_call.name, step.tool_call.arguments)
    return sum(business_key(call.name, call.arguments) == wanted for call in asking.output.tool_calls)
