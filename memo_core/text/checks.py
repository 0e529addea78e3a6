"""What is checked of a fine-tuning before anything starts; loads no weights."""

from transformers import CLIPTokenizer

from memo_core.data.training_set import TrainingSet
from memo_core.errors import MemosweepError, first_line
from memo_core.experiment import Experiment
from memo_core.text.pipeline import check_resolution, find_pipeline
from memo_core.text.prompts import log_cuts, prompts_of


def check_fine_tuning(experiment: Experiment, data: TrainingSet) -> None:
    """Check the pipeline, the size of the images and the prompts; log what will be done with odd ones.

    Args:
        experiment: whose `model.architecture` is `pipeline`.
        data: its training set, or a larger one.

    Raises:
        MemosweepError: the pipeline cannot be fine-tuned, or it or the prompts do not fit the data.
    """
    text = experiment.text
    folder = find_pipeline(text.pipeline, text.revision)
    check_resolution(folder, text.pipeline, data.image_shape[1])
    prompts = prompts_of(experiment, data)
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer", local_files_only=True)
    # The library fails in many ways over damaged files.
    except Exception as error:
        raise MemosweepError(f"pipeline {text.pipeline}: no readable tokenizer ({first_line(error)})") from None
    log_cuts(prompts.distinct, tokenizer)
