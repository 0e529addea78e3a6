from analysis.results.columns import joined
from analysis.runs.runs import Runs
from analysis.tables.effects import memorization_time_table
from tests.fakes import make_table


def test_each_setting_has_a_row_with_its_slope() -> None:
    finals = {(size_factor, size): 0.9 for size_factor in (64, 128) for size in (500, 1000, 2000)}
    frame = joined([make_table(finals), make_table({(256, 500): 0.2, (256, 1000): 0.1})])
    table = memorization_time_table(Runs.of(frame))
    assert [row[0] for row in table.rows] == ["Width = 64", "Width = 128"]
    assert [row[2] for row in table.texts] == ["1.00", "1.00"]
    low, high = table.rows[0][3:5]
    assert low < 1 < high


def test_without_two_passing_sizes_there_is_no_table() -> None:
    assert not memorization_time_table(Runs.of(make_table({(64, 500): 0.9}))).rows


def test_the_only_setting_that_scales_is_named_where_there_are_others() -> None:
    frame = joined([make_table({(64, 500): 0.9, (64, 1000): 0.9}), make_table({(256, 500): 0.2, (256, 1000): 0.1})])
    table = memorization_time_table(Runs.of(frame))
    assert [row[0] for row in table.rows] == ["Width = 64"]
