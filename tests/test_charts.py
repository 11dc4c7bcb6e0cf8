"""Charts draw what the frames hold, and never let trace text become plotly's markup."""

from __future__ import annotations

import polars as pl
import pytest

from workbench import charts
from workbench.analysis.drift import LIMIT, drift_of
from workbench.frames import effects_frame, findings_frame, flow_frame, runs_frame, steps_frame
from workbench.model import Budget, EffectCount, Finding, Run
from workbench.report.figure import svg
from workbench.sketch import model, sketch, timed, tool, user

HOSTILE = '<a href="https://evil.example">click</a><b>$x$</b>'


def strings(value: object, *left_out: str) -> list[str]:
    """Every text in a figure but those under the names left out, which our own code wrote."""
    if isinstance(value, str):
        return [value]
    inner = [part for name, part in value.items() if name not in left_out] if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    return [text for part in inner for text in strings(part, *left_out)]


def finding(run_id: str = "r", step: int | None = 1, severity: str = "error") -> Finding:
    return Finding.model_validate({"detector": "d", "run_id": run_id, "severity": severity, "score": 1, "step": step, "message": "m", "capability": "security"})


def test_confidence_chart_shows_recorded_values_only() -> None:
    """A model call without a confidence has no point; the others stand at their step."""
    run = sketch(model(confidence=0.9), model(), model(confidence=0.4))
    figure = charts.confidence(steps_frame(run))
    assert (figure.data[0].x, figure.data[0].y) == ((0, 2), (0.9, 0.4))


def test_findings_are_marked_at_their_step() -> None:
    """Each finding that has a step is a vertical line there, in its severity's colour."""
    marks = findings_frame([finding(step=1), finding(step=None), finding(step=2, severity="warning")])
    shapes = charts.confidence(steps_frame(sketch(model(confidence=0.9))), marks).layout.shapes
    assert [(shape.x0, shape.line.color) for shape in shapes] == [(1, charts.SEVERITY_COLOURS["error"]), (2, charts.SEVERITY_COLOURS["warning"])]


def test_spending_adds_up() -> None:
    """Tokens accumulate over the steps; dollars have an axis of their own, and only where they were recorded."""
    figure = charts.tokens(steps_frame(sketch(model(tokens=10), model(), model(tokens=5, cost_usd=0.25))))
    assert figure.data[0].y == (10, 15)
    assert (figure.data[1].y, figure.data[1].yaxis) == ((0.25,), "y2")
    assert len(charts.tokens(steps_frame(sketch(model(tokens=10)))).data) == 1


def test_findings_by_run_counts_each_severity() -> None:
    """The run with the most findings stands at the top, with a bar for each severity."""
    figure = charts.findings_by_run(findings_frame([finding("a"), finding("b"), finding("b", severity="info")]))
    assert figure.layout.yaxis.ticktext == ("a", "b")
    assert {bar.name: bar.x for bar in figure.data} == {"error": (1, 1), "info": (0, 1)}


def test_many_runs_are_cut_and_said_to_be() -> None:
    """A chart of more runs than can be read shows the first and says of how many."""
    figure = charts.findings_by_run(findings_frame([finding(f"r{number}") for number in range(100)]))
    assert len(figure.data[0].y) == charts.MAX_ROWS
    assert "of 100" in figure.layout.title.text


def test_effects_that_share_a_beginning_stay_apart() -> None:
    """Two effects whose names are cut to the same text are two rows."""
    counts = [EffectCount(tool="t", key="x" * 100 + end, original=2, fork=1) for end in "ab"]
    figure = charts.effects(effects_frame(counts))
    assert len(set(figure.data[0].y)) == 2


@pytest.mark.parametrize("draw", [charts.confidence, charts.tokens])
def test_empty_frames_make_empty_charts(draw: object) -> None:
    """A run without steps still makes a chart."""
    assert draw(steps_frame(Run(run_id="empty"))).layout.title.text  # type: ignore[operator]


def test_trace_text_is_no_markup_for_plotly() -> None:
    """No angle bracket and no dollar sign of a trace reaches a figure."""
    run = sketch(model(confidence=0.5, name=HOSTILE), run_id=HOSTILE)
    drawn = [
        charts.confidence(steps_frame(run), findings_frame([finding(HOSTILE)])),
        charts.findings_by_run(findings_frame([finding(HOSTILE)])),
        charts.effects(effects_frame([EffectCount(tool=HOSTILE, key=HOSTILE, original=1, fork=1)])),
    ]
    said = [text for figure in drawn for text in strings(figure.to_dict(), "template", "hovertemplate")]
    assert len([text for text in said if "evil.example" in text]) == 3
    assert not [text for text in said if "<" in text or "$" in text]


# ---- drift, budgets, latency, flow, time


def falling() -> pl.DataFrame:
    """Steps whose confidence falls and stays low."""
    return steps_frame(sketch(*(model(confidence=value) for value in (0.95, 0.94, 0.93, 0.88, 0.8, 0.71, 0.62, 0.5))))


def test_drift_is_drawn_with_the_limit_it_passes() -> None:
    """From eight confidences on, the watched sum ends where it passes its limit, and the levels before and after stand beside it."""
    lines = {line.name: line for line in charts.confidence(falling()).data}
    assert set(lines) == {"confidence", "sum of falls", "limit", "mean before, after"}
    assert lines["limit"].y == (LIMIT, LIMIT)
    assert lines["sum of falls"].y[-1] > LIMIT >= max(lines["sum of falls"].y[:-1])
    assert lines["sum of falls"].x[-1] == lines["mean before, after"].x[1] == lines["mean before, after"].x[2]
    steady = steps_frame(sketch(*(model(confidence=0.9) for _ in range(9))))
    assert [line.name for line in charts.confidence(steady).data] == ["confidence", "sum of falls", "limit"]


def test_a_fall_that_recovers_is_no_drift() -> None:
    """A sum that passes the limit for one low value is begun anew, and no alarm is raised; few values are not watched."""
    assert drift_of([0.9, 0.91, 0.89, 0.5, 0.9, 0.92, 0.9, 0.91, 0.9]).alarm is None
    assert drift_of([0.9] * 3).sums == ()
    assert [line.name for line in charts.confidence(falling().head(7)).data] == ["confidence"]


def test_a_budget_is_a_line() -> None:
    """Tokens and dollars each have the line of their budget, on their own axis; a run's bar chart has the budget's mark."""
    steps = steps_frame(sketch(model(tokens=10, cost_usd=0.1), model(tokens=20, cost_usd=0.2)))
    lines = {line.name: (line.y, line.yaxis) for line in charts.tokens(steps, budget=Budget(tokens=25, usd=0.15)).data}
    assert lines["budget in tokens"] == ((25, 25), "y")
    assert lines["budget in dollars"] == ((0.15, 0.15), "y2")
    runs = runs_frame([sketch(model(cost_usd=cost), run_id=name) for name, cost in (("a", 0.1), ("b", 0.4))])
    figure = charts.cost_by_run(runs, 0.3)
    assert (figure.layout.yaxis.ticktext, figure.data[0].x, figure.layout.shapes[0].x0) == (("a", "b"), (0.1, 0.4), 0.3)


def test_costs_by_run_say_what_they_leave_out() -> None:
    """Model calls whose cost was not recorded are in no bar: the title counts those of the runs that have one."""
    partly = sketch(model(cost_usd=0.1), model(), model(), run_id="a")
    assert charts.cost_by_run(runs_frame([partly, sketch(model(), run_id="b")])).layout.title.text == "US dollars by run, without 2 model calls"
    assert charts.cost_by_run(runs_frame([sketch(model(cost_usd=0.1))])).layout.title.text == "US dollars by run"


def test_without_costs_tokens_are_compared() -> None:
    """By run and by model, tokens stand in where no cost was recorded, and the title says so; what was not recorded has no bar."""
    run = sketch(model(tokens=7, model="small"), model(tokens=9, model="large"), model(model="silent"), run_id="a")
    assert charts.cost_by_run(runs_frame([run, sketch(model(), run_id="b")])).layout.title.text == "tokens by run"
    figure = charts.cost_by_model(steps_frame(run))
    assert (figure.data[0].x, figure.layout.yaxis.ticktext) == ((7, 9), ("small (1)", "large (1)"))


def test_latency_has_percentiles_by_kind_and_name() -> None:
    """Median, 95th percentile and longest are told, the slowest at the top; steps without times count nowhere."""
    steps = [tool("slow", {}, 1, **timed(number, took)) for number, took in enumerate((1.0, 2.0, 9.0))]
    run = sketch(*steps, tool("quick", {}, 1, **timed(20, 0.1)), tool("untimed", {}, 1, started_ns=1))
    figure = charts.latency(steps_frame(run), "name")
    assert figure.layout.yaxis.ticktext == ("quick (1)", "slow (3)")
    assert {bar.name: bar.x[1] for bar in figure.data} == {"median": 2000, "95th percentile": 8300, "longest": 9000}
    assert charts.latency(steps_frame(run)).layout.yaxis.ticktext == ("tool (4)",)


def test_flow_shows_the_usual_way_and_the_one_taken() -> None:
    """Each place says how many runs were there; the way of the chosen run is marked."""
    usual = [sketch(tool("look"), tool("book"), run_id=f"r{number}") for number in range(8)]
    odd = sketch(tool("look"), tool("pay"), tool("book"), run_id="odd")
    flow = flow_frame([*usual, odd], odd)
    taken = flow.filter("chosen").select("before", "after", "runs").rows()
    assert taken == [("(start)", "look", 9), ("look", "pay", 1), ("pay", "book", 1), ("book", "(end)", 1)]
    assert flow.filter((pl.col("before") == "look") & (pl.col("after") == "book"))["runs"].to_list() == [8]
    (sankey,) = charts.tool_flow(flow, "odd").data
    assert sankey.node.label[:2] == ("(start) (9)", "look (9)")
    assert sankey.link.color.count("rgba(208,138,30,0.45)") == 4
    assert flow_frame([sketch(*(tool("again") for _ in range(30)))], calls=2)["after"].to_list() == ["again", "again", "(more)"]


def test_flow_of_runs_with_little_in_common_stays_readable() -> None:
    """The most frequent ways and that of the chosen run are followed; the rest is gathered where it leaves them, with its count, and none is lost."""
    runs = [sketch(*(tool(f"tool {number % (7 + place)}") for place in range(number % 9)), run_id=str(number)) for number in range(100)]
    flow = flow_frame(runs, chosen := runs[98])
    at = [flow.filter(pl.col("position") == place) for place in range(6)]
    assert [place["runs"].sum() for place in at[:2]] == [100, 100 - at[0].filter(pl.col("after").is_in(["(other)", "(end)"]))["runs"].sum()]
    assert all(place.filter(~pl.col("after").str.starts_with("("))["after"].len() <= 6 for place in at)
    assert not flow.filter(pl.col("before") == "(other)").height
    ways = [name for name, *_ in flow.filter("chosen").select("after").iter_rows()]
    assert ways == [*[step.name for step in chosen.of_kind("tool")][:5], "(more)"]
    (sankey,) = charts.tool_flow(flow, "98").data
    other = sankey.node.label.index(f"(other) ({at[0].filter(pl.col('after') == '(other)')['runs'][0]})")
    assert "left the most frequent ways here" in sankey.node.customdata[other]
    few = flow_frame([sketch(tool(f"tool {number}"), run_id=str(number)) for number in range(20)], ways=3)
    assert set(few.filter(pl.col("position") == 0)["after"]) == {"tool 0", "tool 1", "tool 10", "(other)"}


def test_findings_over_time_have_their_quiet_stretches() -> None:
    """Findings stand where their runs began, stretches without any stay, and what has no time is left out, which is said."""
    runs = runs_frame([sketch(user("Hi"), run_id=name).model_copy(update={"started_ns": at}) for name, at in (("a", 0), ("b", 10 * 60 * 10**9), ("c", None))])
    found = findings_frame([finding("a"), finding("b"), finding("b", severity="info"), finding("c")])
    figure = charts.findings_over_time(found, runs)
    assert {bar.name: bar.y for bar in figure.data} == {"error": (1, *[0] * 9, 1), "info": (*[0] * 10, 1)}
    assert figure.layout.title.text == "Findings over time (1 of runs without a time left out)"
    assert figure.layout.xaxis.ticktext[::10] == ("00:00", "00:10")
    alone = charts.findings_over_time(found.head(2), runs, "detector").layout
    assert (alone.title.text, alone.margin.r) == (f"Findings over time: {found['detector'][0]}", 60)
    many = findings_frame([finding("a").model_copy(update={"detector": f"d{number}"}) for number in range(8)])
    assert [bar.name for bar in charts.findings_over_time(many, runs, "detector").data] == ["d0", "d1", "d2", "d3", "d4", "other"]


def every_figure() -> dict[str, object]:
    """One figure of each kind, of hostile runs."""
    run = sketch(
        *(model(confidence=0.9 - number / 10, tokens=5, cost_usd=0.1, name=HOSTILE, model=HOSTILE) for number in range(9)), tool(HOSTILE), run_id=HOSTILE
    )
    steps, found, runs = steps_frame(run), findings_frame([finding(HOSTILE).model_copy(update={"detector": HOSTILE})]), runs_frame([run])
    return {
        "confidence": charts.confidence(steps, found),
        "tokens": charts.tokens(steps, found, Budget(tokens=20, usd=1)),
        "latency": charts.latency(steps, "name"),
        "cost_by_model": charts.cost_by_model(steps),
        "cost_by_run": charts.cost_by_run(runs, 0.5),
        "findings_by_run": charts.findings_by_run(found),
        "findings_over_time": charts.findings_over_time(found, runs, "detector"),
        "tool_flow": charts.tool_flow(flow_frame([run], run), HOSTILE),
        "effects": charts.effects(effects_frame([EffectCount(tool=HOSTILE, key=HOSTILE, original=1, fork=1)])),
    }


def test_every_chart_is_offered_with_inert_text_and_drawn_without_scripts() -> None:
    """All charts there are keep plotly's markup out of trace text, and a report can draw each of them from the same numbers."""
    figures = every_figure()
    assert set(figures) == {name for name in charts.__all__ if name.islower() and name != "plain"}
    for name, figure in figures.items():
        said = strings(figure.to_plotly_json(), "template", "hovertemplate")  # type: ignore[attr-defined]
        assert not [text for text in said if "<" in text or "$" in text], name
        drawn = svg(figure.to_plotly_json(), "says", "p")  # type: ignore[attr-defined]
        assert "nan" not in drawn
        assert drawn.count("<rect") + drawn.count("<polyline") + drawn.count("<path") > 0


@pytest.mark.parametrize("frame", [runs_frame([]), runs_frame([sketch(run_id="bare")])])
def test_charts_of_nothing_are_empty(frame: pl.DataFrame) -> None:
    """Runs without costs, times or findings make figures without bars, which can be drawn too."""
    steps, found = steps_frame(Run(run_id="empty")), findings_frame([])
    figures = [charts.cost_by_run(frame), charts.findings_over_time(found, frame), charts.latency(steps), charts.cost_by_model(steps)]
    for figure in (*figures, charts.tool_flow(flow_frame([]))):
        assert "nan" not in svg(figure.to_plotly_json(), "says", "p")
