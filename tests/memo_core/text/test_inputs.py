"""Bad input: one line each, before anything is trained."""

import importlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

import memo_core.text
from memo_core.data import TrainingSet, load_training_set
from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.experiment.presets import experiment_from
from memo_core.text.captions import captions_of, read_captions
from memo_core.text.checks import check_fine_tuning
from memo_core.text.class_names import class_names
from memo_core.text.pipeline import check_folder, find_pipeline, load_pipeline

NAMES = tuple(f"/photos: {name}" for name in ("a.png", "b.png", "trip/c.png"))


def file(tmp_path: Path, name: str, content: str) -> str:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return str(path)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A pipeline to be damaged."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def refused(copy: Path) -> str:
    with pytest.raises(MemosweepError) as error:
        check_folder(copy, "mine")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_without_an_index_or_a_part_is_refused(copy: Path) -> None:
    check_folder(copy, "mine")
    shutil.rmtree(copy / "unet")
    assert refused(copy) == "pipeline mine: has no U-Net (folder unet)"
    (copy / "model_index.json").unlink()
    assert "not the folder of a diffusers pipeline (model_index.json: No such file" in refused(copy)


@pytest.mark.parametrize(
    ("part", "weights", "pickled", "title"),
    [
        ("unet", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin", "U-Net"),
        ("text_encoder", "model.safetensors", "pytorch_model.bin", "text encoder"),
    ],
)
def test_weights_that_would_not_be_read_are_refused(
    part: str, weights: str, pickled: str, title: str, copy: Path
) -> None:
    stem = weights.removesuffix(".safetensors")
    variant = (copy / part / weights).rename(copy / part / f"{stem}.fp16.safetensors")
    assert f"its {title} are in {stem}.fp16.safetensors, not in {weights}; load it with the variant" in refused(copy)
    (copy / part / pickled).write_bytes(variant.read_bytes())
    variant.unlink()
    assert f"the weights of its {title} are pickled, which can run code" in refused(copy)
    # As from the hub, where they are not downloaded.
    (copy / part / pickled).unlink()
    assert f"its {title} has no {weights} (folder {part}); pickled weights are not read: save it with" in refused(copy)


def test_shards_are_read_and_missing_ones_named(copy: Path) -> None:
    StableDiffusionPipeline.from_pretrained(copy).unet.save_pretrained(copy / "sharded", max_shard_size="1MB")
    shutil.rmtree(copy / "unet")
    (copy / "sharded").rename(copy / "unet")
    assert not (copy / "unet/diffusion_pytorch_model.safetensors").exists()
    check_folder(copy, "mine")
    assert load_pipeline(str(copy)).unet.config.sample_size == 4
    shard = sorted((copy / "unet").glob("*.safetensors"))[1]
    shard.unlink()
    assert refused(copy) == f"pipeline mine: the weights of its U-Net lack {shard.name} (folder unet)"


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("unet", {"in_channels": 9}, "its U-Net has in_channels = 9, where the VAE has 4: it takes a picture besides"),
        ("unet", {"sample_size": None}, "unet/config.json has sample_size = None, expected the latents a side"),
        ("unet", {"class_embed_type": "projection"}, "its U-Net has class_embed_type = 'projection', it takes more"),
        ("unet", {"block_out_channels": None}, "unet/config.json has no list block_out_channels"),
        ("text_encoder", {"hidden_size": 64}, "has hidden_size = 64, its U-Net cross_attention_dim = 32"),
    ],
)
def test_networks_that_do_not_fit_each_other_are_refused(
    part: str, change: dict[str, Any], message: str, copy: Path
) -> None:
    config = copy / part / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    assert message in refused(copy)


def test_pipelines_of_other_kinds_are_refused(copy: Path) -> None:
    index = json.loads((copy / "model_index.json").read_text())
    for change, message in (
        ({"unet": ["diffusers", "UNet3DConditionModel"]}, "its U-Net is a 'UNet3DConditionModel'"),
        ({"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}, "two text encoders"),
        ({"text_encoder": [None, None]}, "has no text encoder"),
    ):
        (copy / "model_index.json").write_text(json.dumps({**index, **change}))
        assert message in refused(copy)
    (copy / "model_index.json").write_text(json.dumps(index))
    schedule = copy / "scheduler/scheduler_config.json"
    schedule.write_text(json.dumps({**json.loads(schedule.read_text()), "prediction_type": "sample"}))
    assert "prediction_type = 'sample', expected epsilon or v_prediction" in refused(copy)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "nowhere"])
def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(name: str) -> None:
    with pytest.raises(MemosweepError, match="neither the folder of a diffusers pipeline nor a name on the Hugging"):
        find_pipeline(name)


def test_a_missing_extra_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "peft" else object())
    with pytest.raises(MemosweepError, match=r"peft is not installed; pip install 'memosweep\[text\]'"):
        importlib.reload(memo_core.text)
    monkeypatch.undo()
    importlib.reload(memo_core.text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text.method": "lora"}, "text.lora_rank = none: text.method = lora needs a rank"),
        (
            {"text.method": "lora", "text.lora_rank": 0},
            "text.lora_rank = 0: input should be greater than or equal",
        ),
        ({"text.prompt": "captions"}, "text.prompt = captions: needs text.captions"),
        (
            {"text.captions": "captions.csv"},
            "text.captions = captions.csv: text.prompt = plain does not read it, set text.prompt = captions",
        ),
        (
            {"training.micro_batch_size": 4},
            "training.micro_batch_size = 4: pipelines have text.accumulation_steps, times training.batch_size images",
        ),
        ({"data.labels": "true"}, "data.labels = true: a pipeline is conditioned by text.prompt, set it to none"),
        ({"model.width": 64}, "model.width = 64: a pipeline brings its own network"),
        ({"training.warmup_epochs": 3}, "training.warmup_epochs = 3.0: pipelines have text.warmup_steps"),
        ({"evaluation.sampler": "sde"}, "evaluation.sampler = sde: pipelines are sampled by DDIM"),
        ({"training.precision": "auto"}, "training.precision = auto: a pipeline is not measured before it is trained"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MemosweepError) as error:
        experiment_from("laptop-text", changes)
    assert str(error.value).startswith(message)


def test_settings_of_text_need_a_pipeline() -> None:
    with pytest.raises(MemosweepError, match=r"text.prompt = class: model.architecture = ddpmpp takes no text"):
        experiment_from("laptop", {"text.prompt": "class"})
    assert not any(key.startswith("text.") for key in experiment_from("laptop").to_flat())


def test_full_fine_tuning_has_no_rank() -> None:
    full = experiment_from("laptop-text", {"text.lora_rank": 16})
    assert full == experiment_from("laptop-text", {"text.lora_rank": 256})
    assert full.to_flat()["text.lora_rank"] is None
    assert Experiment.from_flat(full.to_flat()) == full


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.csv", 'a.png,"a cat, asleep"\nb.png,a dog\nc.png,a hill\n'),
        ("headed.csv", 'file_name,text\na.png,"a cat, asleep"\nb.png,a dog\ntrip/c.png,a hill\n'),
        (
            "wide.csv",
            'width,Caption,license,file_name\n64,"a cat, asleep",cc0,a.png\n64,a dog,,b.png\n9,a hill,,trip/c.png\n',
        ),
        (
            "lines.jsonl",
            '{"file_name": "a.png", "text": "a cat, asleep"}\n\n{"file": "b.png", "caption": "a dog"}\n'
            '{"file_name": "trip/c.png", "text": "a hill"}\n',
        ),
    ],
)
def test_captions_are_found_by_file_name(tmp_path: Path, name: str, content: str) -> None:
    path = file(tmp_path, name, content)
    assert captions_of(NAMES, read_captions(path), path) == ("a cat, asleep", "a dog", "a hill")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "a.png,a cat\n", "expected a file ending in .csv or .jsonl"),
        ("a.csv", "a.png,a cat,asleep\n", "line 1: 3 columns, expected a file name and a caption"),
        ("a.csv", "file_name,size,text\na.png,a cat\n", "line 2: 2 columns, expected 3 as in the header"),
        ("a.csv", "a.png,a cat\na.png,a dog\n", "line 2: 'a.png' has two captions"),
        ("a.csv", "a.png, \n", "line 1: the caption of 'a.png' is empty"),
        ("a.csv", "", "holds no captions"),
        ("a.jsonl", "{", "line 1: not JSON"),
        ("a.jsonl", '{"file_name": "a.png"}', 'line 1: expected the texts "file_name" and "caption"'),
    ],
)
def test_captions_of_another_form_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(MemosweepError) as error:
        read_captions(file(tmp_path, name, content))
    assert message in str(error.value)


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\f"])
def test_a_line_ends_at_a_line_feed_alone(separator: str, tmp_path: Path) -> None:
    path = file(tmp_path, "a.jsonl", json.dumps({"file_name": "a.png", "text": f"a{separator}b"}, ensure_ascii=False))
    assert read_captions(path) == {"a.png": f"a{separator}b"}


def test_file_names_and_folders_may_hold_colons() -> None:
    names = ("/my: photos: a: cat.png", "/my: photos: cat.png")
    captions = {"a: cat.png": "a cat", "cat.png": "another"}
    assert captions_of(names, captions, "captions.csv", ["/my: photos"]) == ("a cat", "another")
    assert captions_of(("/photos: a: cat.png",), captions, "captions.csv") == ("a cat",)
    with pytest.raises(MemosweepError, match=r"has no caption for 'a: cat.png' of 1 images"):
        captions_of(names[:1], {"cat.png": "another"}, "captions.csv", ["/my: photos"])


def test_images_without_captions_are_named() -> None:
    with pytest.raises(MemosweepError, match=r"has no caption for 'b.png', 'trip/c.png' of 3 images"):
        captions_of(NAMES, {"a.png": "a cat"}, "captions.csv")
    with pytest.raises(MemosweepError, match=r"'c.png' is home/c.png as well as trip/c.png; name them with their fol"):
        captions_of(("x: home/c.png", "x: trip/c.png"), {"c.png": "a hill"}, "captions.csv")


def test_classes_without_names_are_refused_and_imagenettes_have_theirs(tmp_path: Path) -> None:
    np.savez(tmp_path / "numbers.npz", images=np.zeros((4, 1, 8, 8), np.uint8), labels=np.arange(4) % 2)
    with pytest.raises(MemosweepError, match=r"the classes of numbers.npz have numbers, not names"):
        class_names(str(tmp_path / "numbers.npz"))
    for name in ("n02979186", "n03000684", "my_cat"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "train" / name / "image.png")
    assert class_names(str(tmp_path / "train")) == ("my cat", "cassette player", "chain saw")


def test_images_that_the_networks_cannot_halve_are_refused(settings: Mapping[str, Any], digits: TrainingSet) -> None:
    odd = TrainingSet(torch.zeros(2, 1, 12, 12, dtype=torch.uint8), None, 0, ("a", "b"), (0, 1))
    with pytest.raises(MemosweepError, match=r"data.resolution = 12: .* takes multiples of 8 pixels a side"):
        check_fine_tuning(Experiment.from_flat(settings), odd)


def test_cut_prompts_copies_and_odd_sizes_are_noted(
    settings: Mapping[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "memo_core.text")
    for number in range(3):
        Image.new("RGB", (16, 16), (9 if number < 2 else 99,) * 3).save(tmp_path / f"{number}.png")
    long = "a picture of " + "seven " * 20
    captions = file(tmp_path, "captions.csv", f"0.png,a picture\n1.png,a picture\n2.png,{long}\n")
    changes = {"data.dataset": str(tmp_path), "data.size": 3, "text.prompt": "captions", "text.captions": captions}
    experiment = Experiment.from_flat({**settings, **changes})
    check_fine_tuning(experiment, load_training_set(experiment.data))
    notes = [record.getMessage() for record in caplog.records if record.name.startswith("memo_core.text")]
    assert any("was made for images of 8 pixels a side, these have 16" in note for note in notes)
    # Beginning, three words, twenty sevens, end: 25 tokens.
    assert any(
        "1 prompt is longer than the 16 tokens that the text encoder takes, 9 tokens are cut" in n for n in notes
    )
    assert "2 of 3 training images are exact duplicates of others" in notes
    assert "2 of 3 training images share their caption with others; 2 captions in all" in notes
