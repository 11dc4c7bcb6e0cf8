"""What an incident says, in words: the same sentences on its card and in its report."""

from __future__ import annotations

from workbench.incident import Cost, Counted, Incident, Onset, Reach
from workbench.report.quantities import DASH, line, moment, money, plural

ONE_PER_CENT = 0.01
ASKED_CHARS, CAME_CHARS, WHAT_CHARS = 120, 200, 400


def title_of(incident: Incident) -> str:
    """What people call it, and whose runs it is about."""
    scope = incident.scope
    about = [scope.agent or "", f"version {scope.version}" if scope.version else "", f"what {scope.detector} finds" if scope.detector else ""]
    return " · ".join(filter(None, (scope.name or "Incident", *about)))


def tally(reach: Reach) -> str:
    """`38 of 412 runs affected (9.2 %)`."""
    return f"{reach.affected:,} of {plural(reach.runs, 'run')} affected" + (f" ({_per_cent(reach.affected / reach.runs)})" if reach.runs else "")


def _per_cent(value: float) -> str:
    return f"{100 * value:.0f} %" if value >= 10 * ONE_PER_CENT or value == 0 else f"{100 * value:.1f} %"


def why_affected(reach: Reach) -> str:
    """What makes the runs affected ones."""
    found = f"{reach.by_finding:,} by what was found in them, {reach.by_status:,} ended with an error"
    return found + (f"; {plural(reach.dismissed, 'finding')} that people dismissed left out" if reach.dismissed else "")


def who(reach: Reach) -> str:
    """The users and conversations it reached, as far as the recording says."""
    users = "users not recorded" if reach.users is None else plural(reach.users, "user")
    partly = f" (in {reach.users_told_by:,} of the {plural(reach.affected, 'run')} that say so)" if 0 < reach.users_told_by < reach.affected else ""
    threads = "conversations not recorded" if reach.conversations is None else plural(reach.conversations, "conversation")
    return f"{users}{partly}, {threads}"


def when(reach: Reach) -> str:
    """From the first affected run to the last."""
    if reach.first_ns is None:
        return "no times recorded"
    first, last = moment(reach.first_ns), moment(reach.last_ns)
    return first if first == last else f"{first} to {last}"


def began(incident: Incident) -> str:
    """With which version it began, as far as that can be told."""
    if incident.onset is None:
        told = incident.versions
        return (
            f"all in version {told[0].version}"
            if len(told) == 1
            else "no version has more affected runs than those before it"
            if told
            else "versions not recorded"
        )
    return onset_words(incident.onset)


def onset_words(onset: Onset) -> str:
    """`since version 1.5 (…): 3 of 40 affected before, 35 of 60 after; 95 % interval of the difference [0.35, 0.62]`."""
    before, after = (f"{hits:,} of {total:,}" for hits, total in (onset.before, onset.after))
    says = f"version {onset.version} ({moment(onset.first_ns)}): {before} affected before, {after} since"
    interval = f"the difference is {onset.low:+.2f} to {onset.high:+.2f} (95 %)"
    return f"{'since' if onset.clear else 'perhaps since'} {says}; {interval}" + ("" if onset.clear else ", which chance explains as well")


def where(incident: Incident) -> str:
    """The first bad step of the worst run, with its call and what came back."""
    bad = incident.first_bad
    if bad is None:
        return DASH
    call = f"{bad.name}({line(bad.asked, ASKED_CHARS)})" if bad.asked else bad.name
    return f"run {line(bad.run_id, 80)} step {bad.step}: {bad.kind} {line(call, ASKED_CHARS + 40)}" + (f" → {line(bad.came, CAME_CHARS)}" if bad.came else "")


def counts(one: Counted) -> str:
    """`31 of 38 affected, 0 of 374 good`."""
    return f"{one.affected:,} of {one.affected_runs:,} affected, {one.good:,} of {one.good_runs:,} good"


def cost_words(cost: Cost, runs: int) -> str:
    """What the affected runs cost, and what of it was spent in vain, each as far as recorded."""
    partly = f" (recorded in {cost.priced_runs:,} of {runs:,} runs)" if cost.usd is not None and cost.priced_runs < runs else ""
    without = f" without {plural(cost.unrecorded_calls, 'model call')}, not recorded" if cost.unrecorded_calls else ""
    spent = [
        "cost not recorded" if cost.usd is None else f"{money(cost.usd)}{without}{partly}",
        "tokens not recorded" if cost.tokens is None else plural(cost.tokens, "token"),
    ]
    waste = [money(cost.wasted_usd)] if cost.wasted_usd is not None else []
    waste += [plural(cost.wasted_tokens, "token")] if cost.wasted_tokens is not None else []
    vain = [f"{' and '.join(waste)} of it on work done again or in vain"] if waste else []
    acts = [f"{plural(cost.repeated_acts, 'act')} beyond the first"] if cost.repeated_acts is not None else []
    return ", ".join([*spent, *vain, *acts])


def near_words(incident: Incident) -> str:
    """The good run to hold the worst against."""
    near = incident.nearest
    return (
        "no good run to compare with"
        if near is None
        else f"good run {line(near.run_id, 80)}, {near.distance:.2f} apart (0 is the same acts and calls), of {near.looked_at} looked at"
    )
