"""EDM networks that another project pickled under modules of its own."""

import json
import pickle
import sys
import types

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from memo_core.errors import MemosweepError
from memo_core.interop import load_snapshot

NAMES = ("ddpmpp_edm_cond_8", "ddpmpp_vp_16", "ncsnpp_ve_8")
PREFIXES = ("edm.", "my_pkg.third_party.")
PRECONDITIONINGS = {"vp": "VPPrecond", "ve": "VEPrecond", "edm": "EDMPrecond"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_vendored_persistence_is_read_as_the_original(golden, tmp_path, write_pickle, assert_denoises, name, prefix):
    description = json.loads((golden / f"{name}.json").read_text())
    path = tmp_path / "net.pkl"
    write_pickle(path, description, load_file(golden / f"{name}.safetensors"), easy_dict=True, prefix=prefix)
    assert f"{prefix}torch_utils.persistence".encode() in path.read_bytes()
    snapshot = load_snapshot(path)
    assert snapshot.description == description
    assert_denoises(snapshot, name)
    assert prefix.split(".", maxsplit=1)[0] not in sys.modules


class Plain:
    """Pickles EDM networks whose classes are found by their names in `{prefix}training.networks`."""

    def __init__(self, prefix, patch):
        self.module = types.ModuleType(f"{prefix}training.networks")
        parents = self.module.__name__.split(".")
        for end in range(1, len(parents)):
            name = ".".join(parents[:end])
            patch.setitem(sys.modules, name, types.ModuleType(name))
        patch.setitem(sys.modules, self.module.__name__, self.module)

    def make(self, class_name, **attributes):
        if not hasattr(self.module, class_name):
            setattr(self.module, class_name, type(class_name, (nn.Module,), {"__module__": self.module.__name__}))
        made = getattr(self.module, class_name)()
        vars(made).update(attributes)
        return made

    def network(self, description, state, **attributes):
        """A network as the published classes build it, without the record of their arguments."""
        sizes = {
            "img_resolution": description["resolution"],
            "img_channels": description["channels"],
            "label_dim": description["num_labels"],
            "use_fp16": False,
        }
        # VP computes these; as arguments they would be refused.
        kept = {"vp": {"sigma_min": 0.001, "sigma_max": 152.7, "M": 1000, "beta_d": 19.9}, "ve": {"sigma_min": 0.02}}
        own = kept.get(description["preconditioning"], {"sigma_min": 0, "sigma_max": float("inf"), "sigma_data": 0.5})
        network = self.make(PRECONDITIONINGS[description["preconditioning"]], **{**sizes, **own, **attributes})
        network.model = self.make("SongUNet", label_dropout=0)
        for name, value in state.items():
            *path, leaf = name.split(".")
            node = network
            for part in path:
                if part not in node._modules:
                    node.add_module(part, self.child(part))
                node = node._modules[part]
            if leaf in ("resample_filter", "freqs"):
                node.register_buffer(leaf, value)
            else:
                node.register_parameter(leaf, nn.Parameter(value, requires_grad=False))
        return network.eval()

    def child(self, part):
        if part in ("enc", "dec"):
            return nn.ModuleDict()
        if "_block" in part or part.endswith(("_up", "_down", "_in0", "_in1")):
            return self.make("UNetBlock", dropout=0.13)
        return self.make("Conv2d")


@pytest.fixture
def write_plain(monkeypatch):
    def write(path, description, state, prefix="my_pkg.third_party.", change=lambda network: None, **attributes):
        with monkeypatch.context() as patch:
            plain = Plain(prefix, patch)
            network = plain.network(description, state, **attributes)
            change(network)
            path.write_bytes(pickle.dumps({"ema": network, "loss_fn": plain.make("EDMLoss", P_mean=-1.2)}))

    return write


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefix", ["", *PREFIXES])
def test_networks_without_stored_arguments_are_understood_from_their_weights(
    golden, tmp_path, write_plain, assert_denoises, name, prefix
):
    description = json.loads((golden / f"{name}.json").read_text())
    path = tmp_path / "net.pkl"
    write_plain(path, description, load_file(golden / f"{name}.safetensors"), prefix)
    assert f"{prefix}training.networks".encode() in path.read_bytes()
    snapshot = load_snapshot(path)
    assert snapshot.description == description
    assert snapshot.config.dropout == 0.13
    assert_denoises(snapshot, name)
    assert "training" not in sys.modules
    assert prefix.split(".", maxsplit=1)[0] not in sys.modules


def test_the_skip_mask_that_a_network_keeps_is_read(small, tmp_path, write_plain):
    description, state = small
    mask = [1, 0, 0, 1]
    write_plain(
        tmp_path / "a.pkl", description, state, change=lambda network: setattr(network.model, "skip_connections", mask)
    )
    assert load_snapshot(tmp_path / "a.pkl").config.skip_connections == tuple(mask)


def _without(name):
    def change(network):
        del network.get_submodule(name.rpartition(".")[0])._parameters[name.rpartition(".")[2]]

    return change


@pytest.mark.parametrize(
    ("change", "attributes", "message"),
    [
        (_without("model.map_layer0.weight"), {}, "map_layer0.weight is missing"),
        (_without("model.enc.8x8_block0.conv0.weight"), {}, "do not fit"),
        (_without("model.dec.8x8_aux_conv.weight"), {}, "aux_conv.weight is missing"),
        (lambda network: None, {"img_resolution": 16}, "do not fit a SongUNet at 16 pixels"),
        (lambda network: None, {"img_resolution": 10**5000}, "thousands of digits"),
        (lambda network: None, {"img_resolution": "8"}, "lacks its img_resolution"),
        (lambda network: None, {"sigma_data": 1.0}, "sigma_data = 1.0 is not supported"),
        (lambda network: network._modules.clear(), {}, "lacks its network"),
        (lambda network: setattr(network, "sigma_data", torch.ones(3)), {}, "sigma_data is a Tensor"),
    ],
    ids=range(9),
)
def test_what_does_not_fit_is_refused_in_one_line(small, tmp_path, write_plain, change, attributes, message):
    write_plain(tmp_path / "a.pkl", *small, change=change, **attributes)
    with pytest.raises(MemosweepError, match=message) as caught:
        load_snapshot(tmp_path / "a.pkl")
    assert str(caught.value).isprintable()


def test_a_function_under_a_vendored_name_is_still_not_admitted(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02cedm.training.networks\nsystem\n.")
    with pytest.raises(MemosweepError, match=r"refers to edm\.training\.networks\.system, which is not admitted"):
        load_snapshot(tmp_path / "a.pkl")
