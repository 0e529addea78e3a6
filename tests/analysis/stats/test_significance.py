import pytest

from analysis.stats.significance import holm, normal_quantile, two_sided_p


def test_quantile_and_p_value_are_inverse() -> None:
    assert normal_quantile() == pytest.approx(1.959964)
    assert two_sided_p(normal_quantile(0.9)) == pytest.approx(0.1)
    assert two_sided_p(-3) == two_sided_p(3)


def test_holm_agrees_with_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
