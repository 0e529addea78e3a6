"""A fine-tuning as a trial: what it reports, its checkpoints, and that a resumed one ends like an undisturbed one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from memo_core.data import TrainingSet
from memo_core.errors import MemosweepError, OtherTrainingError
from memo_core.experiment import Experiment
from memo_core.text.learner import PipelineLearner
from memo_core.text.prompts import embed
from memo_core.training import Trainer
from memo_core.training.saving.checkpoint import load_checkpoint, save_checkpoint


def comparable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "images_per_second"} for row in rows]


def test_a_resumed_training_ends_bit_for_bit_like_an_undisturbed_one(experiment: Experiment, tmp_path: Path) -> None:
    whole = Trainer(experiment, "cpu")
    # A checkpoint amid the training, off the evaluations: after 24 of 36 images.
    saved: list[int] = []

    def keep() -> None:
        if whole.images_seen == 24:
            saved.append(whole.images_seen)
            save_checkpoint(whole, tmp_path)

    reports = [evaluation.metrics for evaluation in whole.evaluations(save_due=lambda: True, save=keep)]
    assert saved == [24]
    assert [report["images_seen"] for report in reports] == [18, 36]
    assert all(report["loss"] > 0 and report["num_samples"] == 6 for report in reports)
    resumed = Trainer(experiment, "cpu")
    load_checkpoint(resumed, tmp_path)
    for _ in resumed.evaluations():
        pass
    assert comparable(resumed.rows) == comparable(whole.rows)
    for name in ("parameters", "ema_parameters"):
        assert torch.equal(getattr(resumed.state, name).values, getattr(whole.state, name).values)
    assert (resumed.best_arrays or {})["generated"].tolist() == (whole.best_arrays or {})["generated"].tolist()


def test_checkpoints_of_another_pipeline_other_prompts_or_another_budget_are_refused(
    settings: Mapping[str, Any], digits: TrainingSet, tmp_path: Path
) -> None:
    experiment = Experiment.from_flat({**settings, "text.method": "lora", "text.lora_rank": 2})
    learner = PipelineLearner(experiment, digits, torch.device("cpu"))
    content = {"experiment": experiment.to_flat(), **learner.state_dict()}
    for key, message in (("pipeline_sha256", "another pipeline"), ("prompts_sha256", "other prompts")):
        with pytest.raises(OtherTrainingError, match=message):
            learner.load_state_dict({**content, key: "0" * 64})
    longer = {**content, "experiment": {**content["experiment"], "training.images": 72}}
    with pytest.raises(MemosweepError, match="cosine over 72 images seen, not 36"):
        learner.load_state_dict(longer)
    learner.load_state_dict(content)


def test_only_adapters_learn_under_lora_and_only_the_unet_under_full(experiment: Experiment) -> None:
    learner = PipelineLearner(experiment, Trainer(experiment, "cpu").data, torch.device("cpu"))
    parts = learner._parts
    assert not any(value.requires_grad for part in (parts.vae, parts.text_encoder) for value in part.parameters())
    names = set(learner.state_dict()["model"])
    if experiment.text.method == "full":
        assert names == {name for name, _ in parts.unet.named_parameters()}
    else:
        layers = {name.partition(".lora_")[0].rpartition("attn")[2].partition(".")[2] for name in names}
        assert layers == {"to_q", "to_k", "to_v", "to_out.0"}
        assert all(value.shape[0 if "lora_A" in name else 1] == 48 for name, value in learner.state.weights().items())


def test_samples_are_of_the_average_and_leave_the_training_as_it_is(
    settings: Mapping[str, Any], digits: TrainingSet
) -> None:
    learner = PipelineLearner(Experiment.from_flat(settings), digits, torch.device("cpu"))
    draw = learner.sampler()
    first = draw(range(2))
    values = learner.state.parameters.values
    with torch.no_grad():
        values.add_(0.1)
    kept = values.clone()
    assert torch.equal(draw(range(2)), first)
    assert torch.equal(values, kept)
    learner.state.ema_parameters.values.data.add_(0.1)
    assert not torch.equal(draw(range(2)), first)


def test_captions_are_what_images_are_trained_and_samples_are_drawn_with(
    settings: Mapping[str, Any], digits: TrainingSet, tmp_path: Path
) -> None:
    captions = [f"a picture of {word}" for word in ("two", "one", "one", "six", "two", "two", "one", "six")]
    rows = zip(digits.names, captions, strict=True)
    (tmp_path / "captions.csv").write_text("".join(f'"{name}",{caption}\n' for name, caption in rows))
    changes = {"text.prompt": "captions", "text.captions": str(tmp_path / "captions.csv")}
    trainer = Trainer(Experiment.from_flat({**settings, **changes}), "cpu")
    learner = trainer._learner
    assert isinstance(learner, PipelineLearner)
    parts = learner._parts
    (first, second) = learner.draw_batches(torch.arange(6), torch.Generator().manual_seed(1))
    expected = embed(captions[:6], parts.tokenizer, parts.text_encoder)
    torch.testing.assert_close(torch.cat([first.context, second.context]), expected)
    *_, last = trainer.evaluations()
    assert last.conditions["prompts"].tolist() == ["a picture of one", "a picture of six", "a picture of two"]
    assert last.conditions["prompt_index"].tolist() == [0, 1, 2, 0, 1, 2]


def test_memory_that_does_not_suffice_is_answered_by_settings_that_pipelines_have(
    settings: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(Experiment.from_flat(settings), "cpu")

    def exhausted(*_: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(trainer._learner, "step", exhausted)
    with pytest.raises(MemosweepError, match=r"2.00 GiB more needed\): lower training.batch_size and raise text.acc"):
        next(trainer.evaluations())
