import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment, ModelConfig
from memo_core.interop import load_snapshot, save_safetensors
from memo_core.model import build_denoiser

NAMES = ("ddpmpp_edm_cond_8", "ddpmpp_vp_16", "ncsnpp_ve_8")


@pytest.mark.parametrize("name", NAMES)
def test_reads_and_writes_safetensors_byte_for_byte(golden, tmp_path, assert_denoises, name):
    snapshot = load_snapshot(golden / f"{name}.safetensors")
    assert snapshot.source == "safetensors"
    assert not snapshot.denoiser.training
    assert not any(parameter.requires_grad for parameter in snapshot.denoiser.parameters())
    assert_denoises(snapshot, name)
    save_safetensors(
        tmp_path / "copy.safetensors",
        snapshot.denoiser.state_dict(),
        snapshot.config,
        snapshot.resolution,
        snapshot.channels,
        snapshot.num_labels,
    )
    for ending in ("safetensors", "json"):
        assert (tmp_path / f"copy.{ending}").read_bytes() == (golden / f"{name}.{ending}").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.json", "copy.safetensors"]


def test_reads_our_checkpoint(tmp_path):
    experiment = Experiment.from_flat(
        {
            "model.width": 8,
            "model.depth": 1,
            "model.skip_connections": [0, 1, 1, 0, 1, 1],
            "training.images": 100,
            "evaluation.count": 1,
        }
    )
    denoiser = build_denoiser(experiment.model, 8, 1, 0)
    content = {
        "experiment": experiment.to_flat(),
        "resolution": 8,
        "channels": 1,
        "num_labels": 0,
        "ema": denoiser.state_dict(),
        "step": 7,
    }
    # The content decides, not the ending.
    torch.save(content, tmp_path / "checkpoint.anything")
    snapshot = load_snapshot(str(tmp_path / "checkpoint.anything"))
    assert (snapshot.source, snapshot.experiment) == ("checkpoint", experiment.to_flat())
    assert snapshot.config == experiment.model
    x, sigma = torch.randn(2, 1, 8, 8), torch.tensor([0.1, 3.0])
    assert torch.equal(snapshot.denoiser(x, sigma), denoiser.eval()(x, sigma))


def test_weights_that_are_views_of_one_tensor_are_written_whole(small, tmp_path):
    description, state = small
    flat, views, start = torch.cat([value.flatten() for value in state.values()]), {}, 0
    for name, value in state.items():
        views[name] = flat[start : start + value.numel()].view(value.shape)
        start += value.numel()
    config = ModelConfig(preconditioning="edm", width=8, depth=1, channel_multipliers=(2, 2), attention_resolution=4)
    save_safetensors(tmp_path / "a.safetensors", views, config, 8, 3, 4)
    save_safetensors(tmp_path / "b.safetensors", state, config, 8, 3, 4)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert load_snapshot(tmp_path / "a.safetensors").description.items() >= description.items()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is an empty file"),
        (b"hello, I am a text file", "not a snapshot"),
        (b"\x80\x04", "damaged"),
        (pickle.dumps([1, 2]), "no network under `ema`"),
        (pickle.dumps({"ema": {"a": 1}}), "no network under `ema`"),
        (b"PK\x03\x04broken", "not a readable checkpoint"),
        (b"\x02\0\0\0\0\0\0\0{}", "description"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_other_files_are_named(tmp_path, content, message):
    (tmp_path / "file.pkl").write_bytes(content)
    with pytest.raises(MemosweepError, match=message) as caught:
        load_snapshot(tmp_path / "file.pkl")
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(tmp_path):
    for path in (tmp_path / "absent.pkl", tmp_path):
        with pytest.raises(MemosweepError, match=str(path)):
            load_snapshot(path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MemosweepError, match="cannot be written"):
        save_safetensors(
            tmp_path / "file" / "a.safetensors",
            build_denoiser(ModelConfig(width=8, channel_multipliers=(1,)), 8, 1, 0).state_dict(),
            ModelConfig(width=8, channel_multipliers=(1,)),
            8,
            1,
            0,
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 16}, "weights do not fit"),
        ({"channels": "rgb"}, "channels = 'rgb'"),
        ({"channels": 10**4000}, "channels = 1000"),
        ({"architecture": "unet"}, "architecture = 'unet'"),
        ({"skip_connections": 5}, "skip_connections"),
        ({"preconditioning": None}, "preconditioning"),
        ({"architecture": "optimum"}, "architecture = 'optimum' has no weights"),
        ({"skip_connections": [1, 1, 1]}, "3 entries"),
        ({"skip_connections": [1] * 5}, "5 entries"),
        ({"num_params": 1}, "num_params = 1, but the network has"),
        ({"num_params": "many"}, "num_params = 'many'"),
        # What such networks would take, no machine has.
        ({"width": 4096}, "weights do not fit ddpmpp, width 4096"),
        ({"width": 4 * 10**15}, "width = 4000000000000000: .*less than or equal to"),
        ({"width": 4 * 10**400}, r"width = 4000.*less than or equal to"),
        ({"depth": 10**9, "skip_connections": None}, "depth = 1000000000: .*less than or equal to"),
        ({"num_labels": 10**12}, "map_label.weight is"),
        ({"channels": 10**12}, "8x8_conv.weight is"),
    ],
    ids=str,
)
def test_a_description_that_does_not_fit_is_named(small, tmp_path, changes, message):
    description, state = small
    save_file(state, tmp_path / "a.safetensors")
    (tmp_path / "a.json").write_text(json.dumps({**description, **changes}))
    with pytest.raises(MemosweepError, match=message) as caught:
        load_snapshot(tmp_path / "a.safetensors")
    assert "\n" not in str(caught.value)


def test_a_description_that_says_what_is_true_is_taken(small, tmp_path):
    description, state = small
    save_file(state, tmp_path / "a.safetensors")
    (tmp_path / "a.json").write_text(json.dumps(description))
    description = load_snapshot(tmp_path / "a.safetensors").description
    (tmp_path / "a.json").write_text(json.dumps(description))
    assert load_snapshot(tmp_path / "a.safetensors").description == description


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b"[]"], ids=lambda value: repr(value)[:8])
def test_a_description_that_is_no_json_object_is_named(small, tmp_path, content):
    save_file(small[1], tmp_path / "a.safetensors")
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(MemosweepError, match=r"a\.json: (not JSON|a JSON object is needed)"):
        load_snapshot(tmp_path / "a.safetensors")


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("model.map_layer0.bias"), "map_layer0.bias is missing"),
        (lambda state: state.update({"model.more": torch.zeros(1)}), "it has no 'model.more'"),
        (lambda state: state.update({5: torch.zeros(1)}), "it has no '5'"),
        (lambda state: state.update({"model.map_layer0.bias": torch.zeros(1).expand(32)}), "more than its bytes hold"),
        (lambda state: state.update({"model.map_layer0.bias": torch.zeros(32).to_sparse()}), "floating-point"),
        (lambda state: state.update({"model.map_layer0.bias": torch.zeros(32, dtype=torch.int32)}), "floating-point"),
    ],
)
def test_weights_that_do_not_fit_are_named(small, tmp_path, change, message):
    _, state = small
    change(state)
    experiment = {
        "model.preconditioning": "edm",
        "model.width": 8,
        "model.depth": 1,
        "model.channel_multipliers": [2, 2],
        "training.images": 1,
        "evaluation.count": 1,
    }
    content = {"experiment": experiment, "resolution": 8, "channels": 3, "num_labels": 4, "ema": state}
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(MemosweepError, match=message) as caught:
        load_snapshot(tmp_path / "a.pt")
    assert "\n" not in str(caught.value)
    assert "a.pt" in str(caught.value)
