import io

import pandas as pd
import pytest

from analysis.results.columns import joined
from analysis.runs.runs import Runs
from analysis.tables.paper import NUMBERS, paper_table, paper_tables, write_paper_table
from analysis.tables.writers import FORMATS
from memo_core.errors import MemosweepError
from tests.fakes import make_table


def decay_table() -> pd.DataFrame:
    return make_table({(0.0, 1000): 0.93, (0.01, 1000): 0.85, (0.01, 2000): 0.4}, "training.weight_decay")


def test_ours_stand_beside_the_published_numbers_with_their_difference() -> None:
    cells = paper_table(2, Runs.of(decay_table())).blocks[0][1].set_index(["training.weight_decay", "data.size"])
    assert cells.loc[(0.0, 1000), ["ours", "published", "difference"]].tolist() == pytest.approx([93, 92.09, 0.91])
    assert cells.loc[(0.01, 2000), "difference"] == pytest.approx(40 - 35.88)
    assert pd.isna(cells.loc[(0.1, 1000), "ours"])
    assert len(cells) == 14


def test_another_data_set_is_not_compared(real: pd.DataFrame) -> None:
    cells = paper_table(2, Runs.of(real)).blocks[0][1]
    ours = cells[cells["ours"].notna()]
    assert set(ours["dataset"]) == {"digits"}
    assert ours["difference"].isna().all()
    assert "no run shares data set and size" in write_paper_table(paper_table(2, Runs.of(real)))


def test_trials_of_another_sweep_do_not_leak_in() -> None:
    ema = make_table({(0.99929, 1000): 0.93, (0.1, 1000): 0.5, (0.0, 1000): 0.4}, "training.ema_decay",
                     **{"training.weight_decay": 0.0})  # fmt: skip
    decay = make_table({(0.0, 1000): 0.93, (0.01, 1000): 0.85}, "training.weight_decay",
                       **{"training.ema_decay": 0.99929, "experiment": "other"})  # fmt: skip
    cells = paper_table(2, Runs.of(joined([ema, decay]))).blocks[0][1]
    at_zero = cells[(cells["training.weight_decay"] == 0) & (cells["data.size"] == 1000)]
    assert at_zero["ours"].tolist() == pytest.approx([93])


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("form", FORMATS)
def test_every_table_renders_in_every_format(number: int, form: str) -> None:
    text = write_paper_table(paper_table(number), form)  # type: ignore[arg-type]
    table = paper_table(number)
    for value in table.data["published"]:
        assert (f"{value:.2f}" in text) or form == "csv"
    if form == "csv":
        assert pd.read_csv(io.StringIO(text))["published"].tolist() == table.data["published"].tolist()


def test_table_1_is_laid_out_as_in_the_paper() -> None:
    lines = write_paper_table(paper_table(1)).splitlines()
    assert lines[1].split() == ["Batch", "size", "128", "256", "384", "512", "640", "768", "896"]
    assert lines[2] == "-" * len(lines[2])
    assert lines[4].startswith("|D| = 1k")
    assert lines[4].split()[3:] == ["(89.52)", "(90.87)", "(91.52)", "(92.09)", "(91.40)", "(92.05)", "(92.77)"]


def test_the_numbers_of_the_published_tables() -> None:
    counts = {number: len(paper_table(number).data) for number in NUMBERS}
    assert counts == {1: 14, 2: 28, 3: 40, 4: 15, 5: 14, 6: 28, 7: 14, 8: 28}
    assert paper_table(6).blocks[1][1]["published"].iloc[6] == 11.77


def test_latex_escapes_and_markdown_has_a_rule() -> None:
    latex = write_paper_table(paper_table(2, Runs.of(decay_table())), "latex")
    assert r"Memorization ratios (\%)" in latex
    assert r"93.00 (92.09, +0.91) &" in latex
    assert latex.count(r"\begin{table}") == latex.count(r"\end{table}") == 2
    assert "|---|---|---|" in write_paper_table(paper_table(2), "markdown")


def test_only_tables_that_our_runs_fill_are_listed(real: pd.DataFrame) -> None:
    assert [table.number for table in paper_tables(Runs.of(real))] == [2, 8]


def test_there_is_no_table_9() -> None:
    with pytest.raises(MemosweepError, match="no Table 9"):
        paper_table(9)
