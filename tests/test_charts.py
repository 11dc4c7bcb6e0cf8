"""Charts draw what the frames hold, and never let trace text become plotly's markup."""

from __future__ import annotations

import pytest

from workbench import charts
from workbench.frames import effects_frame, findings_frame, steps_frame
from workbench.model import EffectCount, Finding, Run
from workbench.sketch import model, sketch

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
