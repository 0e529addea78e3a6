"""The benchmark of the driver: what it reports of its measurements, and that both sides run the same trials."""

from benchmarks.driver_overhead import Fit, Measured, growth, report_of, tenths


def test_memory_is_told_by_tenths_and_its_growth_by_the_second_half():
    memory = tenths([float(value) for value in range(1, 101)])
    assert memory == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert growth(memory) == 50
    assert tenths([7.0]) == [7.0] * 10


def test_ratios_are_those_of_runs_side_by_side():
    fast, slow = Fit(10, 2, [100.0] * 10), Fit(12, 3, [100.0] * 9 + [101.0])
    report = report_of({"engine": [slow, fast], "bare": [fast, fast]}, [{"seconds": 5.0}], {"engine": 100, "bare": 100})
    assert report["ratio"] == [1.2, 1.0]
    assert report["driver_ratio"] == [1.5, 1.0]
    assert report["ms_per_trial"] == {"engine": [120, 100], "bare": [100, 100]}
    assert report["memory_growth_mib"]["engine"] == [1.0, 0.0]


def test_what_is_called_is_measured():
    measured = Measured()
    assert measured(lambda: sum(range(1000))) == 499500
    assert measured.fit.seconds >= 0
    assert len(measured.fit.memory) == 10
