"""What was said of runs: by detectors, by a judge, by people."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Select, func, select

from workbench.model import (
    Finding,
    Json,
    Note,
    NotEvaluated,
    Review,
)
from workbench.overview import Found
from workbench.store.opened import Opened
from workbench.store.payloads import Payloads
from workbench.store.rows import (
    ALERT,
    EXAMINATION,
    FINDING,
    JUDGEMENT,
    NEWEST_REVISION,
    NOTE,
    REVIEW,
    RUN,
    column,
    insert,
    loaded,
)
from workbench.verdict.verdict import Verdict

FEW = 100
"""How many runs are asked for by name."""


class Examination(NamedTuple):
    """What an examination of a run says beside its findings: what could not be evaluated, and the verdict (None: made before there were any)."""

    not_evaluated: list[NotEvaluated]
    verdict: Verdict | None


class Said(Opened):
    """The store's examinations, verdicts, alerts, reviews and notes."""

    def unexamined(self, fingerprint: str) -> list[str]:
        """The runs whose newest revision these detectors have not seen."""
        newest = select(func.max(RUN.c.seq)).group_by(RUN.c.run_id)
        seen = select(EXAMINATION.c.revision).where(EXAMINATION.c.fingerprint == fingerprint)
        query = select(RUN.c.run_id).where(RUN.c.seq.in_(newest), RUN.c.revision.not_in(seen)).order_by(RUN.c.started_ns.is_(None), RUN.c.started_ns, RUN.c.seq)
        with self._engine.connect() as connection:
            return column(connection, query)

    def save_examination(
        self, run_id: str, fingerprint: str, findings: Sequence[Finding], not_evaluated: Sequence[NotEvaluated], verdict: Verdict | None = None
    ) -> None:
        """Store what the detectors said of a run's newest revision, and the verdict on it."""
        payloads = Payloads()
        rows = [{"run_id": one.run_id, "detector": one.detector, "severity": one.severity, "sha256": payloads.put(one)} for one in findings]
        lacks = payloads.put_json(
            {"not_evaluated": [one.model_dump(mode="json") for one in not_evaluated], "verdict": verdict and verdict.model_dump(mode="json")}
        )
        with self._writing() as connection:
            payloads.save(connection)
            revision = connection.execute(NEWEST_REVISION, {"run": run_id}).scalar_one()
            values = {"run_id": run_id, "revision": revision, "fingerprint": fingerprint, "sha256": lacks}
            seq = connection.execute(EXAMINATION.insert().values(values).returning(EXAMINATION.c.seq)).scalar_one()
            insert(connection, FINDING, [row | {"examination": seq, "position": number} for number, row in enumerate(rows)])

    def findings(self, only: Collection[str] | None = None) -> dict[str, list[Finding]]:
        """For each examined run (or `only` these), the findings of its newest examination."""
        newest = _newest(only)
        placed = select(FINDING.c.run_id, FINDING.c.sha256).where(FINDING.c.examination.in_(newest)).order_by(FINDING.c.examination, FINDING.c.position)
        with self._engine.connect() as connection:
            runs = column(connection, select(EXAMINATION.c.run_id).where(EXAMINATION.c.seq.in_(newest)).order_by(EXAMINATION.c.seq))
            result: dict[str, list[Finding]] = {run_id: [] for run_id in runs if only is None or run_id in only}
            for run_id, told in loaded(connection, placed, only):
                result[run_id].append(Finding.model_validate(told))
        return result

    def examinations(self, only: Collection[str] | None = None) -> dict[str, Examination]:
        """For each examined run (or `only` these), what its newest examination says beside its findings."""
        query = select(EXAMINATION.c.run_id, EXAMINATION.c.sha256).where(EXAMINATION.c.seq.in_(_newest(only))).order_by(EXAMINATION.c.seq)
        with self._engine.connect() as connection:
            return {run_id: _examination(told) for run_id, told in loaded(connection, query, only)}

    def examined(self, only: Collection[str] | None = None) -> dict[str, tuple[list[Finding], list[NotEvaluated]]]:
        """For each examined run (or `only` these), the findings of its newest examination and what could not be evaluated."""
        findings = self.findings(only)
        return {run_id: (findings[run_id], rest.not_evaluated) for run_id, rest in self.examinations(only).items()}

    def found(self) -> dict[str, list[Found]]:
        """For each examined run, in what order its newest examination told it, what it found: detector and severity, and nothing else is read."""
        newest = select(func.max(EXAMINATION.c.seq)).group_by(EXAMINATION.c.run_id)
        rows = select(FINDING.c.run_id, FINDING.c.detector, FINDING.c.severity).where(FINDING.c.examination.in_(newest))
        with self._engine.connect() as connection:
            told: dict[str, list[Found]] = {run_id: [] for run_id in column(connection, select(EXAMINATION.c.run_id).distinct())}
            for run_id, detector, severity in connection.execute(rows.order_by(FINDING.c.examination, FINDING.c.position)):
                told[run_id].append(Found(detector, severity))
        return told

    def verdicts(self, only: Collection[str] | None = None) -> dict[str, Verdict]:
        """For each examined run (or `only` these), the verdict of its newest examination; a run examined before there were verdicts has none."""
        return {run_id: rest.verdict for run_id, rest in self.examinations(only).items() if rest.verdict}

    def raise_alerts(self, findings: Iterable[Finding], now_ns: int) -> list[Finding]:
        """Note these findings as ones to tell of; returns those nobody was told of yet, each once."""
        by_key = {finding.key: finding for finding in findings}
        rows = [{"key": key, "run_id": finding.run_id, "raised_ns": now_ns, "sent_ns": None} for key, finding in by_key.items()]
        with self._writing() as connection:
            insert(connection, ALERT, rows)
            unsent = set(column(connection, select(ALERT.c.key).where(ALERT.c.sent_ns.is_(None))))
        return [finding for key, finding in by_key.items() if key in unsent]

    def settle_alert(self, key: str, now_ns: int) -> None:
        """Note that someone was told of a finding."""
        with self._writing() as connection:
            connection.execute(ALERT.update().where(ALERT.c.key == key, ALERT.c.sent_ns.is_(None)).values(sent_ns=now_ns))

    def alerts_sent(self) -> int:
        """How many findings someone was told of."""
        with self._engine.connect() as connection:
            return int(connection.execute(select(func.count()).where(ALERT.c.sent_ns.is_not(None))).scalar_one())

    def save_review(self, review: Review) -> None:
        """Keep what a person made of a finding, beside what was said of it before."""
        with self._writing() as connection:
            insert(connection, REVIEW, [review.model_dump()])

    def reviews(self, *, until_ns: int | None = None) -> list[Review]:
        """What people made of findings, the newest word on each, oldest first; as it stood at a moment, where one is given."""
        here = (one for one in self.every_review() if one.origin is None and (until_ns is None or one.reviewed_ns <= until_ns))
        return list({one.key: one for one in here}.values())

    def every_review(self, run_id: str | None = None) -> list[Review]:
        """Everything that people made of findings (of one run), in the order in which it was kept; what was said elsewhere decides nothing here."""
        query = select(*(REVIEW.c[name] for name in Review.model_fields)).order_by(REVIEW.c.seq)
        with self._engine.connect() as connection:
            rows = connection.execute(query if run_id is None else query.where(REVIEW.c.run_id == run_id)).mappings()
            return [Review(**row) for row in rows]

    def save_note(self, note: Note) -> None:
        """Keep what a person wrote down about an incident."""
        with self._writing() as connection:
            insert(connection, NOTE, [note.model_dump()])

    def notes(self, incident: str) -> list[Note]:
        """What was written down about an incident, oldest first."""
        query = select(NOTE).where(NOTE.c.incident == incident).order_by(NOTE.c.seq)
        with self._engine.connect() as connection:
            return [Note(**{name: value for name, value in row.items() if name != "seq"}) for row in connection.execute(query).mappings()]

    def judgement(self, key: str) -> str | None:
        """What a judge answered to the question with this key; None where it was never asked."""
        with self._engine.connect() as connection:
            found: str | None = connection.execute(select(JUDGEMENT.c.answer).where(JUDGEMENT.c.key == key)).scalar()
        return found

    def save_judgement(self, key: str, run_id: str, answer: str) -> None:
        """Keep what a judge answered."""
        with self._writing() as connection:
            insert(connection, JUDGEMENT, [{"key": key, "run_id": run_id, "answer": answer}])


def _newest(only: Collection[str] | None) -> Select[tuple[int]]:
    """The newest examination of each run; the database is only told of few chosen ones, as it takes so many parameters."""
    newest = select(func.max(EXAMINATION.c.seq)).group_by(EXAMINATION.c.run_id)
    return newest if only is None or len(only) > FEW else newest.where(EXAMINATION.c.run_id.in_(only))


def _examination(stored: Json) -> Examination:
    """An examination as it is stored; it was the list of what could not be evaluated before there were verdicts."""
    rest = {"not_evaluated": stored} if isinstance(stored, list) else stored
    verdict = rest.get("verdict")
    return Examination([NotEvaluated.model_validate(one) for one in rest["not_evaluated"]], Verdict.model_validate(verdict) if verdict else None)
