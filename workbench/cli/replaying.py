"""Fork and replay: what was recorded of a run, re-runs with one thing changed, and whether the change did it."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.application import REPLAY, command
from workbench.cli.options import STORE, ForceOption, JsonOption, LevelName, OutputOption, RunArgument, StoreOption
from workbench.cli.results import check_free, hand_in
from workbench.cli.tables import aligned_table, table_of
from workbench.cli.terminal import named, opened, out, parsed, print_json, progress_bar, shown

if TYPE_CHECKING:
    from workbench.bench import RecordedRun
    from workbench.model import Json
    from workbench.replay.effects.approvals import Approve, Question, Reply
    from workbench.results.swept import Swept

TrustOption = Annotated[bool, typer.Option("--trust", help="Trust this run's checkpoint database, from now on.")]
ContextOption = Annotated[str | None, typer.Option("--context", help="JSON: what the graph is started with as its context, by its fields.")]
OUTCOME = "What is counted: findings (those of the run are gone), effects (others are made), answer (is another). Default: findings, where there are any."


@command(REPLAY, "workbench cassette booked-twice -o cassette.json")
def cassette(
    run_id: RunArgument,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the cassette as JSON to this file.")] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Show what of a run can be replayed, and why the rest can't."""
    with opened(store) as bench:
        taken = bench.run(run_id).cassette
    if output is not None:
        taken.save(output)
    if as_json:
        print_json(taken.cassette.model_dump(mode="json") | {"replayable": taken.cassette.replayable})
    else:
        out.print(str(taken), markup=False, soft_wrap=True)


@command(REPLAY, 'workbench fork booked-twice --at 9 --tool-result \'{"booking_id": "BK-1001"}\' --live model')
def fork(
    run_id: Annotated[str | None, typer.Argument(metavar="RUN", help="The run's id, or its beginning; none with --resume.")] = None,
    at: Annotated[int | None, typer.Option("--at", help="The step to fork at.")] = None,
    tool_result: Annotated[str | None, typer.Option("--tool-result", help="JSON to put in place of what the tool returned.")] = None,
    message: Annotated[str | None, typer.Option("--message", help='JSON: {"index": 2, "content": "…"} edits what the model saw.')] = None,
    state: Annotated[str | None, typer.Option("--state", help="JSON object: channels of the state to replace before the step.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Another model's name, or a JSON object of its settings.")] = None,
    system: Annotated[str | None, typer.Option("--system", help="Another system prompt.")] = None,
    tools: Annotated[str | None, typer.Option("--tools", help="JSON list of the tools to offer, or an object that changes their definitions.")] = None,
    answer: Annotated[str | None, typer.Option("--answer", help="JSON: what the person answers instead.")] = None,
    fault: Annotated[str | None, typer.Option("--fault", help="timeout, error, empty, slow, or a JSON object: what the call meets.")] = None,
    http: Annotated[str | None, typer.Option("--http", help='JSON: {"call": "GET https://…", "status": 404, "json": …}: of a node.')] = None,
    live: Annotated[list[str] | None, typer.Option("--live", help="What goes live: model (in the sandbox), model:NAME, tool:NAME (for real).")] = None,
    graph: Annotated[str | None, typer.Option("--graph", help="module:attribute of the graph; default: [tool.workbench.graphs] in pyproject.toml.")] = None,
    execute: Annotated[
        list[str] | None,
        typer.Option(
            "--execute", help="A node whose code runs where its recorded writes would stand for it, or a tool that reads something else now; * for all nodes."
        ),
    ] = None,
    serve_stale: Annotated[list[str] | None, typer.Option("--serve-stale", help="A tool (or model, http) to serve the nearest recording's answer.")] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Stop the re-run after this long.")] = 120.0,
    isolation: Annotated[LevelName | None, typer.Option("--isolation", help="How strongly to shut it in, whatever pyproject.toml asks for.")] = None,
    context: ContextOption = None,
    resume: Annotated[str | None, typer.Option("--resume", metavar="FORK", help="Go on with a fork that was killed; all else is as it was asked for.")] = None,
    approve: Annotated[list[str] | None, typer.Option("--approve", help="Approve live calls of this name; else each is asked about.")] = None,
    max_model_calls: Annotated[int | None, typer.Option("--max-model-calls", min=0, help="Live model calls at most.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=0, help="Tokens of live model calls at most.")] = None,
    max_usd: Annotated[float | None, typer.Option("--max-usd", min=0, help="US dollars for live model calls at most, by list price.")] = None,
    max_steps: Annotated[int | None, typer.Option("--max-steps", min=0, help="Calls of any kind at most.")] = None,
    trust: TrustOption = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Re-run from a step with one thing changed. Nothing real is touched unless it is named as live and approved."""
    from workbench.model import Budget
    from workbench.replay.wishes import check_approved

    budget = Budget(model_calls=max_model_calls, tokens=max_tokens, usd=max_usd, steps=max_steps)
    texts = {"tool_result": tool_result, "message": message, "state": state, "tools": tools, "answer": answer, "http": http}
    given = {name: parsed(text, f"--{name.replace('_', '-')}") for name, text in texts.items() if text is not None}
    words = {"model": model, "fault": fault}
    given |= {name: parsed(text, f"--{name}") if text.startswith("{") else text for name, text in words.items() if text is not None}
    given |= {} if system is None else {"system": system}
    with opened(store) as bench:
        terms: dict[str, Any] = {"approve": _approval(approve or ()), "budget": budget}
        if resume is not None:
            forked = bench.resume(resume, seconds=seconds, **terms)
        elif run_id is None or at is None:
            raise typer.BadParameter("name the RUN and the step to fork it --at, or a fork to --resume")
        else:
            check_approved(approve or (), live or ())
            served: dict[str, Any] = {"execute": tuple(execute or ()), "stale": tuple(serve_stale or ()), "isolation": isolation and isolation.value}
            served["context"] = _context_given(context)
            forked = bench.run(run_id).fork(at, live=tuple(live or ()), graph=graph, seconds=seconds, trust=trust, **served, **terms, **given)
        _print_fork(forked, store, as_json=as_json)


def _approval(names: Collection[str]) -> Approve:
    """Approves what was named on the command line, and asks a person at a terminal about the rest."""
    from workbench.replay.effects.approvals import nobody, standing

    return standing(names, _ask_at_the_terminal if sys.stdin.isatty() else nobody)


def _ask_at_the_terminal(question: Question) -> Reply:
    from workbench.replay.effects.approvals import Reply
    from workbench.report.markup import visible

    said = typer.confirm(f"{visible(str(question))}\nMake this call?", default=False, err=True)
    return Reply(said, "a person at the terminal")


@command(REPLAY, "workbench simulate booked-twice --at 9 --model openai:gpt-5 --system 'Book once.'")
def simulate(
    run_id: RunArgument,
    at: Annotated[int, typer.Option("--at", help="The step to go on from: a model call, a tool call or a person's word.")],
    model: Annotated[str, typer.Option("--model", help="The chat model to ask, as provider:name.")],
    tool_result: Annotated[str | None, typer.Option("--tool-result", help="JSON to put in place of what the tool returned.")] = None,
    message: Annotated[str | None, typer.Option("--message", help='JSON: {"index": 2, "content": "…"} edits what the model saw.')] = None,
    system: Annotated[str | None, typer.Option("--system", help="Another system prompt.")] = None,
    tools: Annotated[str | None, typer.Option("--tools", help="JSON list of the tools to offer, or an object that changes their definitions.")] = None,
    answer: Annotated[str | None, typer.Option("--answer", help="JSON: what the person answers instead.")] = None,
    fault: Annotated[str | None, typer.Option("--fault", help="timeout, error or empty: what the tool call meets.")] = None,
    model_calls: Annotated[int, typer.Option("--model-calls", min=1, help="Ask the model so often at most.")] = 25,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Stop after this long.")] = 120.0,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Go on from a step without the agent's code. The model is asked anew, tools answer from the recording."""
    texts = {"tool_result": tool_result, "message": message, "tools": tools, "answer": answer}
    given = {name: parsed(text, f"--{name.replace('_', '-')}") for name, text in texts.items() if text is not None}
    given |= {} if fault is None else {"fault": parsed(fault, "--fault") if fault.startswith("{") else fault}
    given |= {} if system is None else {"system": system}
    with opened(store) as bench:
        _print_fork(bench.run(run_id).simulate(at, model, model_calls=model_calls, seconds=seconds, **given), store, as_json=as_json)


def _print_fork(forked: RecordedRun, store: str, *, as_json: bool) -> None:
    """What came of a fork; status 1 where something was halted or blocked."""
    from workbench import summary
    from workbench.report import static

    receipt = forked.receipt
    if receipt is None:
        raise LookupError(f"the fork {forked.run_id} left no receipt")
    if as_json:
        print_json(summary.of_fork(receipt))
    else:
        out.print(static.receipt_text(receipt), markup=False)
        out.print(f"\nnext: workbench report {receipt.parent_run_id} --against {forked.run_id} -o comparison.html --store {named(store)}", markup=False)
    if not receipt.clean:
        raise typer.Exit(1)


@command(REPLAY, "workbench compare booked-twice healthy-booking --ignore ids")
def compare(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN", help="The reference, then one run or more.")],
    ignore: Annotated[list[str] | None, typer.Option("--ignore", help="What may differ without being told: ids, times.")] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Set runs side by side, step by step, with the first of them."""
    from workbench import compare as compared

    with opened(store) as bench:
        try:
            found = compared(*map(bench.run, run_ids), ignore=ignore or ())  # type: ignore[arg-type]  # an unknown word is refused below
            comparisons = found.comparisons
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        if as_json:
            print_json(found.to_json())
            return
        out.print(repr(found), markup=False)
        for comparison in comparisons:
            if any(row.relation != "same" for row in comparison.rows):
                out.print(aligned_table(comparison))


@command(REPLAY, "workbench sweep booked-twice --at 7 --at 9 --change none --change 'fault=\"timeout\"' -k 3 -o sweep.html")
def sweep(
    run_id: RunArgument,
    at: Annotated[list[int], typer.Option("--at", help="A step to fork at; give several to try several.")],
    change: Annotated[
        list[str] | None,
        typer.Option("--change", help='KIND=JSON, such as tool_result={} or fault="timeout", or none; give several to try several. Default: none.'),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How often each change at each step.")] = 1,
    live: Annotated[list[str] | None, typer.Option("--live", help="What goes live in each fork: model (in the sandbox).")] = None,
    outcome: Annotated[str | None, typer.Option("--outcome", help=OUTCOME)] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="How many forks at once; default: one a core.")] = None,
    forks: Annotated[int | None, typer.Option("--forks", min=0, help="At most so many forks now.")] = None,
    model_calls: Annotated[int | None, typer.Option("--model-calls", min=0, help="Begin no fork after so many live model calls.")] = None,
    within: Annotated[float | None, typer.Option("--within", help="Begin no fork after so many seconds.")] = None,
    graph: Annotated[str | None, typer.Option("--graph", help="module:attribute of the graph; default: [tool.workbench.graphs] in pyproject.toml.")] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Stop each re-run after this long.")] = 120.0,
    context: ContextOption = None,
    trust: TrustOption = False,
    output: OutputOption = None,
    force: ForceOption = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Fork a run at each step with each change, so many times. A sweep that was stopped goes on where it stopped."""
    from workbench.model import Budget
    from workbench.replay.wishes import ForkError

    check_free(output, force=force)
    changes = [_change_given(one) for one in change or ["none"]]
    with opened(store) as bench, ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool, progress_bar("forking", as_json) as progress:
        try:
            done = bench.sweep(
                run_id,
                at=at,
                changes=changes,
                k=k,
                live=tuple(live or ()),
                outcome=outcome,
                executor=pool,
                forks=forks,
                budget=Budget(seconds=within, model_calls=model_calls),
                graph=graph,
                seconds=seconds,
                progress=progress,
                trust=trust,
                context=_context_given(context),
            )
        except ForkError:
            raise  # told as it is, whichever command met it
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    _hand_in(done, output, as_json=as_json)


@command(REPLAY, "workbench controls booked-twice~1 -k 5 --outcome effects -o controls.html")
def controls(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A fork; or a run, with --at.")],
    at: Annotated[int | None, typer.Option("--at", help="The step to re-run from; default: where the fork was made.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How often, with the change and without.")] = 5,
    outcome: Annotated[str | None, typer.Option("--outcome", help=OUTCOME)] = None,
    graph: Annotated[str | None, typer.Option("--graph", help="module:attribute of the graph; default: the fork's.")] = None,
    context: ContextOption = None,
    trust: TrustOption = False,
    output: OutputOption = None,
    force: ForceOption = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Re-run a fork's change beside no change: was it luck? The same parts are live on both sides, and an exact test says whether the change did it."""
    check_free(output, force=force)
    with opened(store) as bench, progress_bar("forking", as_json) as progress:
        done = bench.run(run_id).controls(at, k, outcome=outcome, graph=graph, progress=progress, trust=trust, context=_context_given(context))
    _hand_in(done, output, as_json=as_json)


def _context_given(text: str | None) -> Json:
    return None if text is None else parsed(text, "--context")


def _change_given(text: str) -> dict[str, Json]:
    """A change as the command line has it: KIND=JSON, or none."""
    kind, equals, value = text.partition("=")
    if text == "none":
        return {}
    if not equals:
        raise typer.BadParameter(f"--change {text!r} should be KIND=JSON, such as tool_result={{}}, or none")
    return {kind: parsed(value, f"--change {kind}")}


def _hand_in(done: Swept, output: Path | None, *, as_json: bool) -> None:
    """What a sweep came to; status 1 where a fork could not be made."""
    hand_in(done, done.to_json(), output, as_json=as_json)
    if any(one.how == "failed" for one in done.repetitions):
        raise typer.Exit(1)


@command(REPLAY, "workbench ledger --json")
def ledger(
    run_id: Annotated[str | None, typer.Argument(metavar="RUN", help="A fork; without one, all of them.")] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Show the side effects that re-runs attempted. Each with how it was answered, and what went live."""
    with opened(store) as bench:
        lines = bench.store.entries(run_id=None if run_id is None else bench.store.resolve(run_id))
    if as_json:
        print_json([line.model_dump(mode="json") for line in lines])
        return
    table = table_of("fork", "event", "act", "class", "cause", "answered", "approved by", "says")
    for line in lines:
        effect = f"{line.effect}, a guess" if line.guessed and line.kind == "tool" else line.effect
        cells = (
            line.run_id,
            line.event,
            line.key,
            effect,
            line.cause,
            line.answered,
            line.approved_by,
            ". ".join((*line.already, line.says.partition("\n")[0])),
        )
        table.add_row(*map(shown, cells))
    out.print(table)
    if not lines:
        out.print("no re-run has attempted a side effect")
