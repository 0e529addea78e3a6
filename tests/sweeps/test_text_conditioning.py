"""The sweep of Table 3 through the command line, with a pipeline that is hardly trained."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("diffusers", reason="the extra `text` is not installed")

from analysis.runs.runs import Runs
from analysis.tables.paper import paper_table
from analysis.tables.prompts import prompts_table
from memo_core.commands import main
from memo_core.text.tiny import make_tiny_pipeline

Script = Callable[..., tuple[int, str, str]]
SHORT = {
    "training.images": 32,
    "training.batch_size": 8,
    "text.warmup_steps": 1,
    "evaluation.num_samples": 8,
    "evaluation.steps": 2,
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pipeline") / "tiny"
    make_tiny_pipeline(path, vae_steps=2, unet_steps=2)
    return path


def options(pipeline: Path, **changes: object) -> list[str]:
    merged = {**SHORT, "text.pipeline": pipeline, **changes}
    return ["--preset", "laptop", *(part for key, value in merged.items() for part in ("--set", f"{key}={value}"))]


def test_trials_train_under_ray_with_tables_and_an_export(
    cluster: str, pipeline: Path, script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--storage-path", str(tmp_path), "--name", "text", "--sizes", "4"]
    changes = {"text.lora_rank": 2, "text.prompt": "class"}
    code, output, errors = script("text_conditioning", *options(pipeline, **changes), *place)
    assert code == 0, errors
    assert "2/2 " in output
    assert "table.csv" in output
    runs = Runs.read(tmp_path / "text")
    assert sorted(runs.best["text.method"]) == ["full", "lora"]
    assert runs.best["num_samples"].tolist() == [8, 8]
    assert paper_table(3, runs).data["trials"].sum() == 2
    prompts = {row[1] for row in prompts_table(runs).rows}
    assert len(prompts) == 4
    assert all(prompt.startswith("a picture of ") for prompt in prompts)
    lora = runs.best.set_index("text.method")["folder"]["lora"]
    checkpoint = sorted(Path(lora).glob("checkpoint_*/checkpoint.pt"))[-1]
    out = tmp_path / "adapters.safetensors"
    assert main(["export", "--snapshot", str(checkpoint), "--out", str(out)]) == 0
    assert "LoRA of rank 2" in capsys.readouterr().out


@pytest.mark.parametrize("search", ["bisect", "optuna"])
def test_searches_are_planned(search: str, script: Script) -> None:
    arguments = ["--preset", "laptop", "--search", search, "--dry-run"]
    code, output, errors = script("text_conditioning", *arguments)
    assert code == 0, errors
    configs = [json.loads(line)["config"] for line in output.splitlines()]
    assert configs
    for config in configs:
        rate = 3e-3 if config["text.method"] == "lora" else 1e-3
        assert (config["text.method"] == "lora") == (config["text.lora_rank"] is not None)
        assert config["training.learning_rate"] == pytest.approx(rate)
