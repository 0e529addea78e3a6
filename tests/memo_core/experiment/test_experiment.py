import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment, keys, parse_value
from memo_core.experiment.presets import LAPTOP, PAPER, PAPER_FFHQ, with_settings

BLEND = {"data.blend_dataset": "digits", "data.blend_ratio": 0.5}


@pytest.mark.parametrize("preset", [LAPTOP, PAPER, PAPER_FFHQ])
def test_an_experiment_survives_the_way_to_dotted_keys_and_back(preset):
    experiment = Experiment.from_flat(preset)
    flat = experiment.to_flat()
    assert set(flat) == set(keys())
    assert Experiment.from_flat(flat) == experiment


def test_the_paper_preset_is_the_basic_setup_of_appendix_b():
    flat = Experiment.from_flat(PAPER).to_flat()
    assert {key: flat[key] for key in flat if key.startswith("training.")} == {
        "training.epochs": 40_000,
        "training.images": None,
        "training.batch_size": 512,
        "training.micro_batch_size": None,
        "training.learning_rate": 2e-4,
        "training.weight_decay": 0,
        "training.ema_decay": 0.99929,
        "training.warmup_epochs": 200,
        "training.precision": "float32",
        "training.compile": "auto",
        "training.order": "cyclic",
    }
    assert (flat["model.preconditioning"], flat["model.width"], flat["model.depth"]) == ("vp", 128, 2)
    assert (flat["model.dropout"], flat["evaluation.num_samples"], flat["evaluation.steps"]) == (0.13, 10_000, 18)
    assert flat["evaluation.threshold"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.siez": 3}, "did you mean data.size"),
        ({"data.size": 1}, "data.size = 1"),
        ({"data.size": 10**5000}, "data.size = a number of thousands of digits: expected a number below 2^63"),
        ({"seed": 10**18}, "seed = 1000000000000000000"),
        ({"data.labels": "a\x1b" * 10**6}, "data.labels = 'a\\x1ba"),
        ({"data.size": 1798}, "digits has only 1,797 images"),
        ({"training.learning_rate": -1e-3}, "training.learning_rate = -0.001"),
        ({"training.learning_rate": float("nan")}, "training.learning_rate = nan"),
        ({"training.weight_decay": float("nan")}, "training.weight_decay = nan"),
        ({"training.images": None, "training.epochs": 1e308}, "training.epochs = 1e+308"),
        ({"training.weight_decay": -1}, "training.weight_decay = -1"),
        ({"training.epochs": 3}, "set one of the two"),
        ({"training.images": None}, "set one of the two"),
        ({"evaluation.every_epochs": 3}, "set one of the three"),
        ({"evaluation.fid": True, "evaluation.num_samples": 1}, "evaluation.fid needs at least 2"),
        ({"data.resolution": 6}, "a multiple of 4"),
        ({"data.resolution": 16}, "only ever made smaller"),
        ({"model.skip_connections": [1, 0]}, "2 entries"),
        ({"model.skip_connections": "112111"}, "model.skip_connections"),
        ({"model.attention_resolution": 16}, "the network has 8, 4, 2"),
        ({"data.labels": "random", "data.num_labels": 11}, "more labels than the 10 images"),
        ({"data.labels": "sideways"}, "data.labels = 'sideways'"),
        ({"data.blend_ratio": 0.5}, "set data.blend_dataset"),
        ({"data.classes": 11}, "digits has 10 classes"),
        (BLEND, "would be there twice"),
        ({**BLEND, "data.classes": [1, 2], "data.blend_classes": [2, 3]}, "would be there twice"),
        ({**BLEND, "data.classes": 1, "data.blend_classes": 1}, "would be there twice"),
        ({**BLEND, "data.blend_classes": [2, 3]}, "would be there twice"),
        (
            {**BLEND, "data.size": 3000, "data.classes": [1, 2], "data.blend_classes": [3]},
            "data.size = 3000: digits has only 1,797 images",
        ),
        ({"data.classes": [3, 3]}, "named twice"),
        ({"data.classes": 5, "data.size": 4}, "data.classes = 5: more classes than the 4 images"),
        ({"data.classes": [0, 1, 2], "data.size": 2}, "data.classes = 3: more classes than the 2 images"),
        ({"data.classes": [12]}, "0 to 9"),
        ({"model.width": 6}, "model.width = 6"),
        ({"model.width": 10**17}, "model.width = 100000000000000000: input should be less than or equal to 16384"),
        ({"model.depth": 10**9}, "model.depth = 1000000000"),
        ({"model.channel_multipliers": [1, 10**9]}, "model.channel_multipliers"),
        ({"data.resolution": 10**9}, "data.resolution = 1000000000"),
        ({"data.num_labels": 10**12}, "data.num_labels = 1000000000000"),
        ({"training.batch_size": 10**12}, "training.batch_size = 1000000000000"),
        ({"training.images": 10**18}, "training.images = 1000000000000000000"),
        (
            {
                "training.images": None,
                "training.epochs": 1e9,
                "data.size": 10**8,
                "data.dataset": "a.zip",
                "data.resolution": 8,
            },
            "training.epochs = 1e+09: more than",
        ),
        ({"evaluation.num_samples": 10**12}, "evaluation.num_samples = 1000000000000"),
        ({"evaluation.batch_size": 10**12}, "evaluation.batch_size = 1000000000000"),
        ({"evaluation.steps": 10**12}, "evaluation.steps = 1000000000000"),
        ({"evaluation.count": 10**12}, "evaluation.count = 1000000000000"),
        (
            {"evaluation.count": None, "evaluation.every_images": 1, "training.images": 10**9},
            "evaluation.every_images = 1: more than 1,000,000 evaluations of 1,000,000,000 images seen",
        ),
        ({"model.depth": True}, "model.depth = True"),
        ({"data.classes": True}, "data.classes"),
        ({"evaluation.count": None, "evaluation.every_epochs": 1e-9}, "less than one image"),
    ],
)
def test_bad_settings_are_refused_in_one_line(changes, message):
    with pytest.raises(MemosweepError) as error:
        Experiment.from_flat({**LAPTOP, **changes})
    assert message in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("data.labels", "none", "none"),
        ("data.labels", "true", "true"),
        ("data.resolution", "none", None),
        ("data.dataset", "none", "none"),
        ("training.weight_decay", "1e-3", 1e-3),
        ("model.skip_connections", "none", None),
        ("model.channel_multipliers", "[1,2]", [1, 2]),
        ("data.classes", "3,5", "3,5"),
        pytest.param("data.classes", "[" * 10**5, "[" * 10**5, id="brackets"),
        pytest.param("data.seed", "9" * 5000, "9" * 5000, id="digits"),
    ],
)
def test_values_are_read_as_their_key_demands(key, text, value):
    assert parse_value(key, text) == value


def test_lists_may_be_comma_separated():
    texts = {"model.channel_multipliers": "1,2", "data.classes": "3,5"}
    flat = {**LAPTOP, **{key: parse_value(key, text) for key, text in texts.items()}}
    experiment = Experiment.from_flat(flat)
    assert experiment.model.channel_multipliers == (1, 2)
    assert experiment.data.classes == (3, 5)


@pytest.mark.parametrize("text", ["101010", "1,0,1,0,1,0", "[1,0,1,0,1,0]"])
def test_a_skip_mask_may_be_written_in_three_ways(text):
    flat = {**LAPTOP, "model.skip_connections": parse_value("model.skip_connections", text)}
    assert Experiment.from_flat(flat).model.skip_connections == (1, 0, 1, 0, 1, 0)


def test_a_mask_that_starts_with_zeros_keeps_its_length():
    flat = {**LAPTOP, "model.skip_connections": parse_value("model.skip_connections", "000001")}
    assert Experiment.from_flat(flat).model.skip_connections == (0, 0, 0, 0, 0, 1)


def test_ncsnpp_brings_ve_and_fourier_unless_told_otherwise():
    plain = {key: value for key, value in LAPTOP.items() if key != "model.preconditioning"}
    model = Experiment.from_flat({**plain, "model.architecture": "ncsnpp"}).model
    assert (model.preconditioning, model.time_embedding) == ("ve", "fourier")
    model = Experiment.from_flat({**LAPTOP, "model.architecture": "ncsnpp"}).model
    assert (model.preconditioning, model.time_embedding) == ("edm", "fourier")


@pytest.mark.parametrize("preset", [LAPTOP, PAPER])
def test_another_architecture_brings_its_own_preconditioning_and_embedding(preset):
    model = Experiment.from_flat(with_settings(preset, {"model.architecture": "ncsnpp"})).model
    assert (model.preconditioning, model.time_embedding) == ("ve", "fourier")
    changes = {"model.architecture": "ncsnpp", "model.preconditioning": "vp"}
    assert Experiment.from_flat(with_settings(preset, changes)).model.preconditioning == "vp"


@given(
    total=st.integers(1, 10_000),
    schedule=st.one_of(
        st.integers(1, 50).map(lambda count: {"evaluation.count": count}),
        st.integers(1, 20_000).map(lambda every: {"evaluation.every_images": every}),
        st.floats(0.1, 500).map(lambda every: {"evaluation.every_epochs": every}),
    ),
)
def test_evaluation_points_ascend_and_end_with_the_budget(total, schedule):
    settings = with_settings({**LAPTOP, "training.images": total}, schedule)
    points = Experiment.from_flat(settings).evaluation_points
    assert points[-1] == total
    assert list(points) == sorted(set(points))
    assert points[0] >= 1


def test_the_published_runs_evaluate_every_2500_epochs_at_1k():
    points = Experiment.from_flat(PAPER).evaluation_points
    assert points == tuple(range(2_500_000, 40_000_001, 2_500_000))


@pytest.mark.parametrize(("resolution", "expected"), [(64, 16), (32, 16), (16, 8), (8, 4)])
def test_attention_stands_where_edm_has_it(resolution, expected):
    assert Experiment.from_flat(LAPTOP).model.attention_at(resolution) == expected


def test_a_budget_in_images_replaces_one_in_epochs():
    settings = with_settings(PAPER, {"training.images": 100, "evaluation.count": 2})
    assert "training.epochs" not in settings
    assert Experiment.from_flat(settings).total_images == 100
