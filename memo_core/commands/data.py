"""Print or write the exact training set of an experiment."""

import argparse
import json
from collections import Counter
from pathlib import Path

from memo_core.command_line import parse_settings
from memo_core.commands.duplicates import add_duplicates_argument, wants_duplicates
from memo_core.commands.train import add_experiment_arguments, experiment_of
from memo_core.errors import MemosweepError, plural
from memo_core.experiment import Experiment
from memo_core.files import check_output_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_experiment_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="FILE.npz|FILE.zip",
                        help="write the images and labels, as .npz or in EDM format")  # fmt: skip
    parser.add_argument("--json", action="store_true",
                        help="one JSON object per image: index, origin, class, label, duplicates or not")  # fmt: skip
    add_duplicates_argument(parser, "; --duplicates takes the whole data set, unless data.size is set")


def run(options: argparse.Namespace) -> None:
    """Load the set that a trial would see; describe it, list it or write it."""
    from memo_core.data import load_training_set, write_edm_zip, write_npz  # noqa: PLC0415
    from memo_core.measure.duplicates import find_duplicates  # noqa: PLC0415

    if options.out is not None:
        if options.out.suffix not in (".npz", ".zip"):
            raise MemosweepError(f"--out {options.out}: expected a file ending in .npz or .zip")
        check_output_file(options.out, "--out")
    experiment = experiment_of(options)
    if options.duplicates and "data.size" not in parse_settings(options.set):
        experiment = _of_whole_set(experiment)
    training = load_training_set(experiment.data)
    found = None
    if wants_duplicates(options, len(training)):
        found = find_duplicates(training.images, experiment.evaluation.threshold)
    labels = None if training.labels is None else training.labels.numpy()
    if options.json:
        for index, (name, own) in enumerate(zip(training.names, training.classes, strict=True)):
            label = None if labels is None else int(labels[index])
            line = {"index": index, "origin": name, "class": own, "label": label}
            if found is not None:
                line |= {"near_duplicate": bool(found.near[index]), "exact_duplicate": bool(found.exact[index])}
            print(json.dumps(line))
    else:
        channels, height, width = training.image_shape
        print(f"{plural(len(training), 'image')} of {width} x {height} pixels, {plural(channels, 'channel')}")
        counts = sorted(Counter(training.classes).items(), key=lambda item: (item[0] is None, item[0]))
        listed = ", ".join(f"{'none' if own is None else own}: {count}" for own, count in counts)
        print("classes: none" if set(training.classes) == {None} else f"classes: {listed}")
        print("labels: none" if labels is None else f"labels: {training.num_labels:,} different")
        if found is not None:
            counts_of = found.summary()
            print(f"duplicates: {counts_of['near_duplicates']:,} images have a near copy among the others, "
                  f"{counts_of['exact_duplicates']:,} an exact one")  # fmt: skip
    if options.out is not None:
        write = write_npz if options.out.suffix == ".npz" else write_edm_zip
        write(options.out, training.images.numpy(), labels)


def _of_whole_set(experiment: Experiment) -> Experiment:
    """Return the experiment with all images of its data set; of some classes as many as equal shares allow.

    Raises:
        MemosweepError: the data set cannot be read, has fewer than 2 images, or is a blend, which can have any size.
    """
    from memo_core.data.sources import open_source  # noqa: PLC0415
    from memo_core.data.subset import choose_classes  # noqa: PLC0415

    data = experiment.data
    if data.blend_ratio > 0:
        raise MemosweepError("--duplicates of a blend: say how many images, by --set data.size=N")
    source = open_source(data.dataset)
    size, chosen = source.size, choose_classes(source, data.classes, data.seed)
    if data.classes is not None and chosen is not None and source.labels is not None:
        counts = Counter(source.labels.tolist())
        size = len(chosen) * min(counts[label] for label in chosen)
    return Experiment.from_flat({**experiment.to_flat(), "data.size": size})
