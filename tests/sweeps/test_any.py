"""Any setting as a factor, through the command line."""

import json

import pytest


def test_every_value_is_trained_at_every_size(script):
    arguments = ["--key", "model.dropout", "--values", "0", "0.1", "0.3", "--sizes", "10", "20", "--preset", "laptop"]
    code, output, errors = script("any", *arguments, "--dry-run")
    assert code == 0, errors
    configs = [json.loads(line)["config"] for line in output.splitlines()]
    points = {(config["model.dropout"], config["data.size"]) for config in configs}
    assert points == {(dropout, size) for dropout in (0.0, 0.1, 0.3) for size in (10, 20)}
    assert len(configs) == 6


def test_the_size_is_a_setting_too(script):
    code, output, _ = script("any", "--key", "data.size", "--values", "4", "8", "--preset", "laptop", "--dry-run")
    assert code == 0
    assert [json.loads(line)["config"]["data.size"] for line in output.splitlines()] == [4, 8]


@pytest.mark.parametrize("search", ["bisect", "optuna"])
def test_it_can_be_searched(search, script):
    arguments = ["--key", "model.dropout", "--values", "0", "0.3", "--preset", "laptop", "--search", search]
    code, output, errors = script("any", *arguments, "--dry-run")
    assert code == 0, errors
    assert all(json.loads(line)["config"]["model.dropout"] in (0, 0.3) for line in output.splitlines())


def test_a_range_needs_no_values(script):
    arguments = ["--key", "model.dropout", "--search", "optuna", "--set", "model.dropout=range(0,0.5)"]
    code, output, errors = script("any", *arguments, "--preset", "laptop", "--dry-run")
    assert code == 0, errors
    assert output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--values", "1"], "--key is missing"),
        (["--key", "model.dropout"], "--values is missing"),
        (["--key", "model.dropuot", "--values", "0"], "did you mean model.dropout?"),
        (["--key", "model.dropout", "--values", "2"], "model.dropout = 2"),
        (["--key", "data.num_labels", "--values", "2", "3"], "data.num_labels would have no effect"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, script):
    code, _, errors = script("any", *arguments, "--preset", "laptop")
    assert (code, errors.count("\n")) == (2, 1)
    assert message in errors


def test_help_says_how_to_name_the_setting(script):
    code, output, _ = script("any", "--help")
    assert code == 0
    assert "--key model.dropout --values 0 0.1 0.3" in output
