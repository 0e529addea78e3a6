"""The paper's findings with what some runs say on them."""

from collections.abc import Sequence

from analysis.inference.findings import Verdict
from analysis.inference.findings.verdict import ANSWERS, Question
from analysis.tables.table import Column, Table
from memo_core.errors import plural

NOTE = (
    "a claim is supported where every question of it is answered yes, contradicted where one is answered no; each "
    "verdict stands alone at 95%: of twenty, one may be wrong by chance"
)


def findings_table(verdicts: Sequence[Verdict], whole: bool = False) -> Table:
    """Return a row per question that a finding asks of the runs.

    Args:
        verdicts: on the paper's findings.
        whole: whether to list findings that no run can test, too; as in the report, they are counted in a note.
    """
    shown = [verdict for verdict in verdicts if whole or verdict.effect is not None]
    untestable = len(verdicts) - len(shown)
    rows = [
        [
            verdict.id,
            verdict.source,
            verdict.headline,
            question.asks,
            ANSWERS[question.answer],
            measured(question),
        ]
        for verdict in shown
        for question in verdict.questions
    ]
    left_out = f"{plural(untestable, 'further finding')} that these runs cannot test: --all lists what it would take"
    notes = [*([NOTE] if shown else []), *([left_out] if untestable else [])]
    kinds = Column.texts("Finding", "Where", "Verdict", "Question", "Answer", "Effect")
    return Table("findings", "The paper's findings", kinds, rows, notes)


def measured(question: Question) -> str:
    """Return an effect's numbers, or what is missing."""
    return question.missing if question.effect is None else str(question.effect)
