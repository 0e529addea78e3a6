"""The paper's findings with what some runs say on them."""

from collections.abc import Sequence

from analysis.inference.findings import Verdict
from analysis.inference.findings.verdict import ANSWERS, Question
from analysis.tables.table import Column, Table

NOTE = (
    "a claim is supported where every question of it is answered yes, contradicted where one is answered no; each "
    "verdict stands alone at 95%: of twenty, one may be wrong by chance"
)


def findings_table(verdicts: Sequence[Verdict]) -> Table:
    """Return a row per question that a finding asks of the runs."""
    rows = [
        [
            verdict.id,
            verdict.source,
            verdict.headline,
            question.asks,
            ANSWERS[question.answer],
            measured(question),
        ]
        for verdict in verdicts
        for question in verdict.questions
    ]
    kinds = Column.texts("Finding", "Where", "Verdict", "Question", "Answer", "Effect")
    return Table("findings", "The paper's findings", kinds, rows, [NOTE])


def measured(question: Question) -> str:
    """Return an effect's numbers, or what is missing."""
    return question.missing if question.effect is None else str(question.effect)
