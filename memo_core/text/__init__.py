"""Fine-tuning of text-to-image pipelines, on diffusers, peft and transformers, which only this package imports."""

from importlib.util import find_spec

from memo_core.errors import MemosweepError

EXTRA = ("diffusers", "peft", "transformers")

_missing = [package for package in EXTRA if find_spec(package) is None]
if _missing:
    raise MemosweepError(
        f"model.architecture = pipeline: {', '.join(_missing)} is not installed; pip install 'memosweep[text]'"
    )
