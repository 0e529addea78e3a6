import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from memo_core.errors import MemosweepError
from memo_core.experiment import ModelConfig
from memo_core.model import UNet, build_denoiser
from memo_core.model.unet import check_labels, count_parameters

NAMES = ("ddpmpp_edm_cond_8", "ddpmpp_vp_16", "ncsnpp_ve_8")
ARCHITECTURES = ("ddpmpp", "ncsnpp")


def load_golden(golden, name, precision="float32"):
    description = json.loads((golden / f"{name}.json").read_text())
    config = ModelConfig(**{key: value for key, value in description.items() if key in ModelConfig.model_fields})
    sizes = description["resolution"], description["channels"], description["num_labels"]
    denoiser = build_denoiser(config, *sizes, precision=precision)
    denoiser.load_state_dict(load_file(golden / f"{name}.safetensors"))
    with np.load(golden / f"{name}.npz") as arrays:
        reference = {key: torch.from_numpy(arrays[key]) for key in ("x", "sigma", "labels", "denoised")}
    labels = reference["labels"] if description["num_labels"] else None
    return denoiser.eval(), reference, labels, description


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_denoises_as_the_published_implementation(golden, name):
    denoiser, reference, labels, description = load_golden(golden, name)
    denoised = denoiser(reference["x"], reference["sigma"], labels)
    expected = reference["denoised"]
    assert denoised.dtype == torch.float32
    assert (denoised - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert count_parameters(denoiser) == description["num_params"]


@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_are_the_published_ones(golden, name):
    denoiser, *_ = load_golden(golden, name)
    published = load_file(golden / f"{name}.safetensors")
    assert {key: value.shape for key, value in denoiser.state_dict().items()} == {
        key: value.shape for key, value in published.items()
    }


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_bfloat16_stays_near_float32(golden, name):
    denoiser, reference, labels, _ = load_golden(golden, name, "bfloat16")
    denoised = denoiser(reference["x"], reference["sigma"], labels)
    expected = reference["denoised"]
    assert denoised.dtype == torch.float32
    assert 0 < (denoised - expected).abs().max() < 0.05 * expected.abs().max()


def parameters_of(resolution=32, num_labels=0, channels=3, **settings):
    with torch.device("meta"):
        return count_parameters(UNet(ModelConfig(**settings), resolution, channels, num_labels))


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (64, 8_797_187),
        (96, 19_769_859),
        (128, 35_125_251),
        (160, 54_863_363),
        (192, 78_984_195),
        (224, 107_487_747),
        (256, 140_374_019),
        (320, 219_294_723),
    ],
)
def test_parameter_counts_of_all_widths(width, expected):
    assert parameters_of(width=width) == expected


@pytest.mark.parametrize(
    ("depth", "expected"),
    [(4, 55_732_739), (6, 76_340_227), (8, 96_947_715), (10, 117_555_203), (12, 138_162_691)],
)
def test_parameter_counts_of_all_depths(depth, expected):
    assert parameters_of(depth=depth) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"architecture": "ncsnpp"}, 35_788_035),
        ({"num_labels": 10}, 35_126_659),
        ({"num_labels": 50_000}, 35_125_251 + 128 * 50_001),
        ({"resolution": 64, "channel_multipliers": (1, 2, 2, 2)}, 39_390_339),
        ({"time_embedding": "fourier"}, 35_125_251),
        ({"skip_connections": "000000000"}, 35_125_251),
        ({"preconditioning": "edm", "resolution": 8}, 35_125_251),
    ],
    ids=str,
)
def test_parameter_counts_of_the_other_models(settings, expected):
    assert parameters_of(**settings) == expected


def small(architecture="ddpmpp", resolution=16, num_labels=0, **settings):
    """A small network whose weights are all of a size, so that every part shows in the output."""
    config = ModelConfig(architecture=architecture, width=8, dropout=0, **{"depth": 1, **settings})
    torch.manual_seed(0)
    network = UNet(config, resolution, 3, num_labels).eval()
    for parameter in network.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    return network


def run(network, batch=2, labels=None):
    generator = torch.Generator().manual_seed(1)
    size = network.resolution
    x = torch.randn(batch, 3, size, size, generator=generator)
    with torch.inference_mode():
        return network(x, torch.linspace(0.5, 3, batch), labels)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("removed", range(6))
def test_a_removed_skip_connection_carries_zeros(architecture, removed):
    mask = [int(index != removed) for index in range(6)]
    whole, cut = small(architecture), small(architecture, skip_connections=mask)
    assert {k: v.shape for k, v in whole.state_dict().items()} == {k: v.shape for k, v in cut.state_dict().items()}
    # The decoder takes the skip connections in reverse, as the last channels of its blocks' inputs.
    takers = [block for block in whole.dec.values() if getattr(block, "takes_skip", False)]
    block = takers[5 - removed]
    sources = [name for name in whole.enc if "aux" not in name]
    skip_channels = whole.enc[sources[removed]].weight.shape[0] if removed == 0 else None
    skip_channels = skip_channels or whole.enc[sources[removed]].out_channels

    def without(_, arguments):
        x, embedding = arguments
        x = x.clone()
        x[:, x.shape[1] - skip_channels :] = 0
        return x, embedding

    intact = run(whole)
    block.register_forward_pre_hook(without)
    torch.testing.assert_close(run(cut), run(whole), rtol=0, atol=0)
    assert (run(cut) - intact).abs().max() > 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_full_mask_is_no_mask(architecture):
    assert torch.equal(run(small(architecture, skip_connections=[1] * 6)), run(small(architecture)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_without_any_skip_connection_the_network_still_sees_its_input(architecture):
    network = small(architecture, skip_connections=[0] * 6)
    x = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        assert not torch.equal(*network(x, torch.ones(2)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("embedding", ["positional", "fourier"])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("multipliers", [(2,), (2, 2), (1, 2, 2, 2)])
def test_every_shape_of_network_runs(architecture, embedding, depth, multipliers):
    network = small(architecture, time_embedding=embedding, depth=depth, channel_multipliers=multipliers)
    output = run(network)
    assert output.shape == (2, 3, 16, 16)
    assert torch.isfinite(output).all()
    blocks = [block for block in network.dec.values() if getattr(block, "takes_skip", False)]
    assert len(blocks) == len(multipliers) * (depth + 1) == network.config.num_skip_connections
    noise_channels = network.map_layer0.weight.shape[1]
    assert noise_channels == {"ddpmpp": 8, "ncsnpp": 16}[architecture]


@pytest.mark.parametrize(
    ("resolution", "multipliers", "asked", "expected"),
    [
        (32, (2, 2, 2), None, 16),
        (64, (1, 2, 2, 2), None, 16),
        (16, (2, 2, 2), None, 8),
        (8, (2, 2, 2), None, 4),
        (32, (2, 2, 2), 32, 32),
        (32, (2, 2, 2), 8, 8),
        (32, (2, 2, 2), 0, 0),
    ],
)
def test_attention_stands_at_one_resolution_and_in_the_decoders_first_block(resolution, multipliers, asked, expected):
    with torch.device("meta"):
        config = ModelConfig(channel_multipliers=multipliers, attention_resolution=asked, width=32)
        network = UNet(config, resolution, 3, 0)
    low = resolution >> (len(multipliers) - 1)
    here = f"{expected}x{expected}"
    encoder = [f"{here}_block0", f"{here}_block1"] if expected else []
    assert [name for name, block in network.enc.items() if getattr(block, "attention", False)] == encoder
    decoder = {f"{low}x{low}_in0", *([f"{here}_block2"] if expected else [])}
    assert {name for name, block in network.dec.items() if getattr(block, "attention", False)} == decoder


def test_attention_at_a_resolution_that_is_not_there_is_named():
    with pytest.raises(MemosweepError, match="attention_resolution = 16: the network has 8, 4, 2"):
        UNet(ModelConfig(attention_resolution=16), 8, 3, 0)


def test_a_resolution_that_cannot_be_halved_is_named():
    with pytest.raises(MemosweepError, match="multiple of 4"):
        UNet(ModelConfig(), 10, 3, 0)


def test_a_width_that_groups_cannot_share_is_named():
    with pytest.raises(MemosweepError, match=r"model\.width.*multiple of 32"):
        UNet(ModelConfig(width=72), 8, 3, 0)


def test_no_labels_are_an_all_zero_one_hot():
    network = small(num_labels=5)
    with_zero = small(num_labels=5)
    with_zero.map_label.weight.data.zero_()
    none = run(network)
    assert torch.equal(none, run(with_zero, labels=torch.tensor([1, 4])))
    assert not torch.equal(none, run(network, labels=torch.tensor([1, 4])))


@pytest.mark.parametrize(
    ("labels", "count", "message"),
    [([0, 5], 5, "0 to 5: this model takes 0 to 4"), ([-1], 5, "-1"), ([0], 0, "unconditional")],
)
def test_labels_that_do_not_exist_are_named(labels, count, message):
    with pytest.raises(MemosweepError, match=message):
        check_labels(torch.tensor(labels), count)
    check_labels(None, count)


def test_initialization_depends_on_the_seed_alone():
    config = ModelConfig(width=8, depth=1)
    torch.manual_seed(1)
    first = build_denoiser(config, 8, 3, 0, seed=3).state_dict()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = build_denoiser(config, 8, 3, 0, seed=3).state_dict()
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    third = build_denoiser(config, 8, 3, 0, seed=4).state_dict()
    name = "model.enc.8x8_conv.weight"
    assert not torch.equal(first[name], third[name])


@pytest.mark.parametrize("failure", [RuntimeError("Storage size calculation overflowed\n at"), MemoryError()])
def test_a_network_that_cannot_be_built_is_one_line(monkeypatch, failure):
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr("memo_core.model.denoiser.UNet", fail)
    with pytest.raises(MemosweepError, match=r"model\.width = 16, model\.depth = 2, .*cannot be built \(") as caught:
        build_denoiser(ModelConfig(width=16), 8, 1, 0)
    assert "\n" not in str(caught.value)
