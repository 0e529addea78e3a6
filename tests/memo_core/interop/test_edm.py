import json
import pickle
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from memo_core.errors import MemosweepError
from memo_core.experiment import ModelConfig
from memo_core.interop import load_snapshot
from memo_core.model import build_denoiser
from tests.memo_core.interop.conftest import Persistent, arguments_of

HUGE = 10**5000
NAMES = ("ddpmpp_edm_cond_8", "ddpmpp_vp_16", "ncsnpp_ve_8")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("protocol", [2, None])
def test_reads_an_edm_pickle(golden, tmp_path, write_pickle, assert_denoises, name, protocol):
    description = json.loads((golden / f"{name}.json").read_text())
    path = tmp_path / "network-snapshot-000100.pkl"
    state = load_file(golden / f"{name}.safetensors")
    write_pickle(path, description, state, easy_dict=True, protocol=protocol)
    before = set(sys.modules)
    snapshot = load_snapshot(path)
    assert not {"torch_utils", "dnnlib"} & (set(sys.modules) - before)
    assert snapshot.source == "edm-pickle"
    assert snapshot.description == description
    assert_denoises(snapshot, name)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"skip_connections": None}, {"skip_connections": None}),
        ({"skip_connections": []}, {"skip_connections": None}),
        ({"skip_connections": [1, 0, 0, 1]}, {"skip_connections": (1, 0, 0, 1)}),
        ({"dropout": None}, {"dropout": 0.1}),
        ({"label_dropout": 0.1, "use_fp16": True}, {}),
        ({"attn_resolutions": [16, 4]}, {"attention_resolution": 4}),
        ({"sigma_min": 0, "sigma_max": float("inf"), "sigma_data": 0.5}, {}),
    ],
    ids=str,
)
def test_takes_settings_from_the_stored_arguments(small, tmp_path, write_pickle, changes, expected):
    description, state = small
    write_pickle(tmp_path / "a.pkl", description, state, **changes)
    config = load_snapshot(tmp_path / "a.pkl").config
    assert config.model_dump() == {**config.model_dump(), **expected}


def test_attention_that_the_network_is_too_small_for_is_none(small, tmp_path, write_pickle):
    description, _ = small
    config = ModelConfig(preconditioning="edm", width=8, depth=1, channel_multipliers=(2, 2), attention_resolution=0)
    state = build_denoiser(config, 8, 3, 4).state_dict()
    write_pickle(tmp_path / "a.pkl", description, state, attn_resolutions=[16])
    assert load_snapshot(tmp_path / "a.pkl").config == config


def test_augmentation_layer_contributes_nothing_and_is_dropped(small, tmp_path, write_pickle):
    description, state = small
    write_pickle(tmp_path / "plain.pkl", description, state)
    augmented = {**state, "model.map_augment.weight": torch.randn(8, 9)}
    write_pickle(tmp_path / "augmented.pkl", description, augmented, augment_dim=9)
    plain, with_layer = (load_snapshot(tmp_path / f"{name}.pkl") for name in ("plain", "augmented"))
    x, sigma = torch.randn(2, 3, 8, 8), torch.tensor([0.1, 3.0])
    assert torch.equal(plain.denoiser(x, sigma), with_layer.denoiser(x, sigma))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "DhariwalUNet"}, "DhariwalUNet is not supported"),
        ({"model_type": None}, "DhariwalUNet is not supported"),
        ({"class_name": "iDDPMPrecond"}, "iDDPMPrecond is not supported"),
        ({"attn_resolutions": [8, 4]}, r"self-attention at \[4, 8\]"),
        ({"encoder_type": "skip"}, "encoder 'skip'"),
        ({"resample_filter": [1, 3, 3, 1]}, "encoder 'standard' with filter"),
        ({"channel_mult_noise": 2}, "2 x width noise channels"),
        ({"channel_mult_noise": [1]}, "width noise channels"),
        ({"channel_mult_emb": 2}, "channel_mult_emb = 2"),
        ({"decoder_type": "skip"}, "decoder_type = 'skip'"),
        ({"sigma_data": 1.0}, "sigma_data = 1.0 is not supported"),
        ({"adaptive_scale": True}, "'adaptive_scale'"),
        ({"num_blocks": 0}, "depth = 0"),
        ({"model_channels": "wide"}, "width = 'wide'"),
        ({"channel_mult": 2}, "channel_mult = 2"),
        ({"embedding_type": "learned"}, "time_embedding = 'learned'"),
        ({"img_resolution": None}, "img_resolution = None"),
        ({"img_resolution": 9}, "multiple of 2"),
        ({"skip_connections": [1, 0]}, "2 entries"),
        ({"model_channels": 16}, "weights do not fit ddpmpp, width 16"),
        ({"label_dim": 5}, "weights do not fit"),
        ({"num_blocks": torch.ones(2)}, "num_blocks is a Tensor"),
        ({"skip_connections": [1, 1]}, "2 entries"),
        ({"num_blocks": 10**9, "skip_connections": None}, "depth = 1000000000: .*less than or equal to"),
        ({"img_resolution": HUGE}, "img_resolution = a number of thousands of digits"),
        ({"num_blocks": HUGE, "skip_connections": None}, "num_blocks = a number of thousands of digits"),
        ({"model_channels": HUGE}, "model_channels = a number of thousands of digits"),
        ({"channel_mult": [2, HUGE]}, "channel_mult = a number of thousands of digits"),
        ({"class_name": "VPPrecond", "beta_d": HUGE}, "beta_d = a number of thousands of digits"),
        ({"class_name": "VP\nerror: fake\x1b[31m"}, r"'VP\\nerror: fake\\x1b\[31m' is not supported"),
        ({"model_type": "\x1b[31m" + "x" * 10**6}, r"'\\x1b\[31mxx"),
        ({"decoder_type": "x" * 10**6}, "decoder_type = 'xx"),
        ({"a\nb": 1}, r"'a\\nb'"),
    ],
    ids=lambda value: (value if isinstance(value, str) else next(iter(value))).encode("unicode_escape").decode()[:40],
)
def test_networks_that_we_do_not_implement_are_named(small, tmp_path, write_pickle, changes, message):
    description, state = small
    write_pickle(tmp_path / "a.pkl", description, state, **changes)
    with pytest.raises(MemosweepError, match=message) as caught:
        load_snapshot(tmp_path / "a.pkl")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(tmp_path)) + 300
    assert "a.pkl" in str(caught.value)


@pytest.mark.parametrize("key", [5, None, b"adaptive_scale"])
def test_arguments_whose_names_are_not_text_are_refused(small, tmp_path, write_pickle, key):
    description, state = small
    write_pickle(tmp_path / "a.pkl", description, state, odd={"more": 1, key: 2})
    with pytest.raises(MemosweepError, match="names are not text"):
        load_snapshot(tmp_path / "a.pkl")


def test_tensors_whose_names_are_not_text_are_refused(small, tmp_path, published_modules, monkeypatch):
    description, state = small
    content = {"ema": Persistent("EDMPrecond", **arguments_of(description))}
    content["ema"]._parameters[HUGE] = next(iter(state.values()))
    with monkeypatch.context() as patch:
        for name, module in published_modules.items():
            patch.setitem(sys.modules, name, module)
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(MemosweepError, match="_parameters has names that are not text"):
        load_snapshot(tmp_path / "a.pkl")


def test_source_in_a_network_pickle_is_never_run(small, tmp_path, write_pickle):
    canary, source = tmp_path / "canary", "open({!r}, 'w').close()"
    source = source.format(str(canary))
    write_pickle(tmp_path / "a.pkl", *small, source=source)
    assert source.encode() in (tmp_path / "a.pkl").read_bytes()
    load_snapshot(tmp_path / "a.pkl")
    assert not canary.exists()


def test_a_damaged_pickle_never_fails_in_another_way(small, tmp_path, write_pickle):
    description, state = small
    kept = {name: value[:1] for name, value in state.items() if name.endswith("8x8_conv.bias")}
    write_pickle(tmp_path / "a.pkl", description, kept)
    payload = (tmp_path / "a.pkl").read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(payload)
        for position in generator.integers(len(payload), size=generator.integers(1, 8)):
            damaged[position] = generator.integers(256)
        (tmp_path / "a.pkl").write_bytes(damaged)
        with pytest.raises(MemosweepError):
            load_snapshot(tmp_path / "a.pkl")
