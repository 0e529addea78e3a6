"""Fine-tuned Stable Diffusion: Table 3, by kind of fine-tuning, rank of LoRA and prompt.

The paper finds that class prompts raise memorization (at |D| = 400 from 22% to 47% under full fine-tuning), and that
LoRA memorizes far less than full fine-tuning, the less the lower its rank. Needs the extra `text`.

    python sweeps/text_conditioning.py                   # laptop: an embedded pipeline on digits, no download
    python sweeps/text_conditioning.py --preset paper    # miniSD on Imagenette, 40 trials of 400,000 images each
"""

from collections.abc import Mapping
from typing import Any

from memo_core.experiment.presets import LAPTOP_TEXT, PAPER_TEXT
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, Study

PROMPTS = ("plain", "class")
LORA_RATE = 3
"""The learning rate of LoRA over that of full fine-tuning (paper, Appendix G)."""


def learning_rate(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the learning rate of a kind of fine-tuning; `settings` has that of full fine-tuning."""
    rate = settings["training.learning_rate"]
    # As people write it: 3 x 1e-4 has rounding noise.
    return {"training.learning_rate": float(f"{LORA_RATE * rate:.12g}") if method == "lora" else rate}


FACTOR = Factor(
    name="text_conditioning",
    key="text.method",
    # Full fine-tuning has no rank: it is one trial for all ranks.
    paper=(
        Study(
            "Table 3",
            PAPER_TEXT,
            values=("full", "lora"),
            sizes=(400, 500, 800, 1000, 2000),
            grid={"text.lora_rank": (16, 256, 1024), "text.prompt": PROMPTS},
        ),
    ),
    laptop=(
        Study(
            "Table 3",
            LAPTOP_TEXT,
            values=("full", "lora"),
            # LoRA memorizes a few images alone, and of those full fine-tuning memorizes all, whatever the prompt.
            sizes=(4, 32),
            grid={"text.lora_rank": (2, 16), "text.prompt": PROMPTS},
        ),
    ),
    dependent=learning_rate,
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
