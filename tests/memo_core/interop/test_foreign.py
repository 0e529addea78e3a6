"""Files of other projects are named for what they are, with what to do."""

import gzip
import io
import json
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from memo_core.commands import main
from memo_core.errors import MemosweepError
from memo_core.interop import load_snapshot
from tests.memo_core.interop.conftest import Persistent, stand_ins

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


def refused(path):
    with pytest.raises(MemosweepError) as caught:
        load_snapshot(path)
    message = str(caught.value)
    assert message.isprintable()
    return message.removeprefix(f"{path}: ")


@pytest.fixture
def dump(monkeypatch):
    """Pickles persistent objects, with `torch_utils` at hand."""

    def dumps(content, save=pickle.dump):
        buffer = io.BytesIO()
        with monkeypatch.context() as patch:
            for name, module in stand_ins().items():
                patch.setitem(sys.modules, name, module)
            save(content, buffer)
        return buffer.getvalue()

    return dumps


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html><title>virus scan warning</title></html>", ("a web page", "in a browser")),
        (LFS, ("a Git LFS pointer", "git lfs pull")),
        (b"", ("empty", "get the file again")),
        (bytes(100), ("zeros", "get the file again")),
        (gzip.compress(pickle.dumps({"ema": 1})), ("gzip", "unpack it first")),
        (b'{"architecture": "ddpmpp"}', ("a JSON file", ".safetensors")),
        (b"Not Found", ("a text file", "name a checkpoint")),
    ],
    ids=["page", "lfs", "empty", "zeros", "gzip", "json", "text"],
)
@pytest.mark.parametrize("name", ["net.pkl", "checkpoint.pt", "net.safetensors"])
def test_what_is_no_snapshot_by_its_first_bytes(tmp_path, content, words, name):
    (tmp_path / name).write_bytes(content)
    message = refused(tmp_path / name)
    assert all(word in message for word in (*words, "not a snapshot"))


@pytest.mark.parametrize(
    "url", ["https://host/net.pkl", "http://host/a?b=c&d", "s3://bucket/net.pkl", "HTTPS://h/x", "file:///tmp/x.pkl"]
)
def test_urls_are_shown_as_they_were_typed(url, tmp_path, capsys):
    assert main(["sample", "--snapshot", url, "--out", str(tmp_path / "a.npz")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {url}: is a URL")
    assert ("name the file itself" if url.startswith("file:") else "download it first") in error


def archive(path, *members):
    with zipfile.ZipFile(path, "w") as file:
        for member in members:
            file.writestr(member, b"x")
    return path


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (["net.pkl"], ("a zip archive", "unpack it first")),
        (["00000/img.png", "dataset.json"], ("an image set",)),
        (["model/code/__torch__.py", "model/data.pkl"], ("TorchScript",)),
        (["readme.md"], ("a zip archive",)),
    ],
    ids=lambda value: value[0],
)
def test_zip_archives(tmp_path, members, words):
    message = refused(archive(tmp_path / "net.pkl", *members))
    assert all(word in message for word in words)


def test_arrays(tmp_path):
    np.savez(tmp_path / "samples.npz", images=np.zeros((1, 3, 8, 8), np.uint8))
    assert "is an .npz file" in refused(tmp_path / "samples.npz")
    np.save(tmp_path / "samples.npy", np.zeros(3))
    assert "a NumPy array" in refused(tmp_path / "samples.npy")


def test_edm_training_state_names_the_snapshot_beside_it(tmp_path, dump):
    state = {"net": Persistent("EDMPrecond", img_resolution=8), "optimizer_state": {"state": {}, "param_groups": []}}
    path = tmp_path / "training-state-000100.pt"
    path.write_bytes(dump(state, torch.save))
    message = refused(path)
    assert message.startswith("is EDM's training state")
    assert message.endswith("use the network-snapshot-*.pkl that was written beside it")
    for moment in ("000050", "000100", "000200"):
        (tmp_path / f"network-snapshot-{moment}.pkl").touch()
    assert refused(path).endswith(f"beside it: {tmp_path / 'network-snapshot-000100.pkl'}")


def test_edm2_and_stylegan(tmp_path, dump):
    precond = Persistent("Precond", img_resolution=64)
    precond.unet = Persistent("UNet")
    edm2 = {"ema": precond, "encoder": Persistent("StandardRGBEncoder"), "dataset_kwargs": {}}
    generator = Persistent("Generator", z_dim=512)
    generator.synthesis = Persistent("SynthesisNetwork")
    stylegan = {"G": generator, "D": Persistent("Discriminator"), "G_ema": generator, "training_set_kwargs": {}}
    tensorflow = (
        b"\x80\x03cdnnlib.tflib.network\nNetwork\nq\x00)\x81q\x01}q\x02X\x04\x00\x00\x00nameq\x03X\x01\x00\x00\x00Gsb."
    )
    for content, words in (
        (dump(edm2), "is an EDM2 pickle"),
        (dump({"net": {}, "ema": {}, "optimizer": {}, "state": {}}, torch.save), "is EDM2's training state"),
        (dump(stylegan), "is a StyleGAN pickle"),
        (tensorflow, "is a StyleGAN pickle"),
    ):
        (tmp_path / "net.pkl").write_bytes(content)
        message = refused(tmp_path / "net.pkl")
        assert message.startswith(words)
        assert "python -m memo_core measure" in message


WEIGHTS = {
    "a Stable Diffusion checkpoint": "model.diffusion_model.input_blocks.0.0.weight",
    "a network of diffusers": "down_blocks.0.resnets.0.conv1.weight",
    "a guided-diffusion network": "input_blocks.0.0.weight",
    "PyTorch weights of another project": "layer1.0.conv1.weight",
    "a LoRA adapter": "unet.down_blocks.0.attn1.to_q.lora_A.weight",
    "the bare weights of an EDM network": "model.enc.8x8_conv.weight",
}


@pytest.mark.parametrize("what", WEIGHTS)
@pytest.mark.parametrize("legacy", [True, False])
def test_weights_of_other_projects_from_torch_save(tmp_path, what, legacy):
    path = tmp_path / "model.ckpt"
    torch.save({WEIGHTS[what]: torch.ones(2)}, path, _use_new_zipfile_serialization=not legacy)
    assert f"is {what}" in refused(path)


@pytest.mark.parametrize("what", [what for what in WEIGHTS if "EDM" not in what])
def test_safetensors_of_other_projects(tmp_path, what):
    save_file({WEIGHTS[what]: torch.ones(2)}, tmp_path / "model.safetensors", {"format": "pt"})
    assert refused(tmp_path / "model.safetensors").startswith(f"is {what}")


def test_safetensors_of_edm_ask_for_their_description(tmp_path):
    save_file({"model.enc.8x8_conv.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    assert "model.json: No such file or directory; safetensors need their description" in refused(
        tmp_path / "model.safetensors"
    )


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({"state_dict": {"model.diffusion_model.out.0.weight": 1}, "epoch": 1}, "a Stable Diffusion checkpoint"),
        ({"state_dict": {"a": 1}, "pytorch-lightning_version": "2.0"}, "a PyTorch Lightning checkpoint"),
        ({"state_dict": {"a": 1}, "optimizer": {}}, "a PyTorch checkpoint of another project"),
    ],
    ids=["ldm", "lightning", "plain"],
)
def test_checkpoints_of_other_projects(tmp_path, content, what):
    torch.save(content, tmp_path / "last.ckpt")
    assert refused(tmp_path / "last.ckpt").startswith(f"is {what}")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("checkpoint.pt", "name the checkpoint in it, {}"),
        ("checkpoint_000001/checkpoint.pt", "such as {}"),
        ("trial_1/checkpoint_000001/checkpoint.pt", "trials of a sweep; name a checkpoint, such as {}"),
        ("network-snapshot-000100.pkl", "such as {}"),
        ("model_index.json", "a pipeline of diffusers"),
        ("diffusion_pytorch_model.safetensors", "a network of diffusers"),
        ("readme.md", "is a folder; name a checkpoint"),
    ],
)
def test_folders(tmp_path, file, words):
    # Characters that would be read as a pattern.
    folder = tmp_path / "run[1]*"
    (folder / file).parent.mkdir(parents=True)
    (folder / file).write_text("{}")
    message = refused(folder)
    assert message.startswith("is a folder; ")
    assert words.format(folder / file) in message


def test_paths_that_are_no_files(tmp_path):
    assert refused(tmp_path / "none.pkl").startswith("No such file or directory")
    with pytest.raises(MemosweepError, match="a snapshot file is needed"):
        load_snapshot("a\0b")
    assert "not a regular file" in refused("/dev/null")
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(tmp_path / "pipe")


def test_our_own_damaged_checkpoint_is_not_taken_for_another_project(tmp_path):
    torch.save({"experiment": {"seed": "x"}, "model": {"layer.weight": torch.ones(1)}}, tmp_path / "checkpoint.pt")
    assert "an incomplete checkpoint" in refused(tmp_path / "checkpoint.pt")


def test_a_json_beside_decides_for_safetensors(tmp_path):
    save_file({"down_blocks.0.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    (tmp_path / "model.json").write_text(json.dumps([]))
    assert "a JSON object is needed" in refused(tmp_path / "model.safetensors")
