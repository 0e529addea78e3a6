"""The page: whole, self-contained, true to the data."""

import itertools
import math
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.commands.main import main
from analysis.inference.findings import published, verdicts
from analysis.report import build
from analysis.report.gallery import data_uri, gallery
from analysis.report.overview import describe
from analysis.report.svg import embed
from analysis.results.load import load
from analysis.runs.final import best
from analysis.runs.runs import Runs
from memo_core.errors import MemosweepError
from tests.fakes import SIZES, Settings, frame, grid, write_sweep

VOID = {"meta", "link", "img", "input", "br", "hr", "line"}


class Page(HTMLParser):
    """Checks that tags are balanced and collects what a test asks for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text: list[str] = []
        self._rows: list[list[str]] | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self._rows = self.tables.setdefault(str(dict(attrs)["id"]), [])
        if tag == "tr" and self._rows is not None:
            self._rows.append([])
        if tag in ("td", "th") and self._rows is not None:
            self._rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open.pop() == tag
        if tag == "table":
            self._rows = None

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)
            if self._rows and self._rows[-1] and {"td", "th"} & set(self.open):
                self._rows[-1][-1] += data

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def shift(settings: Settings) -> float:
    return 1.0 * math.log(settings["model.width"] / 128)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trials = grid(model__width=(64, 128, 256), data__size=SIZES, seed=(0, 1))
    return write_sweep(tmp_path_factory.mktemp("sweeps") / "width", trials, shift)


@pytest.fixture(scope="module")
def html(sweep: Path) -> str:
    return build(Runs.read(sweep, cache=False), resamples=2)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_page_fetches_nothing(page: Page, html: str) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "xlink:href", "data", "action", "srcset", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,")), (tag, name, value)
    assert "@import" not in html
    assert not re.search(r"url\((?!#|\")", html)
    assert not re.search(r"https?://", html)
    for network in ("fetch(", "XMLHttpRequest", "WebSocket", "import(", "sendBeacon"):
        assert network not in html


def test_the_page_forbids_itself_the_network(page: Page) -> None:
    policies = [attributes for _, attributes in page.tags if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in str(policies[0]["content"])


def test_tags_are_balanced_and_ids_are_unique(page: Page) -> None:
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {str(a["href"])[1:] for tag, a in page.tags if tag in ("a", "use") and "href" in a}
    assert targets <= set(ids)


def test_every_trial_stands_in_the_table_with_its_numbers(page: Page, sweep: Path) -> None:
    heading, *rows = page.tables["trials-table"]
    column = {name: index for index, name in enumerate(heading)}
    runs = best(load(sweep, cache=False)).set_index("trial_id")
    assert len(rows) == len(runs) == 12
    for row in rows:
        run = runs.loc[row[column["Trial"]]]
        assert float(row[column["Ratio (%)"]]) == pytest.approx(100 * run["memorization_ratio"], abs=0.006)
        assert float(row[column["95% low"]]) == pytest.approx(100 * run["memorization_ratio_low"], abs=0.006)
        assert float(row[column["95% high"]]) == pytest.approx(100 * run["memorization_ratio_high"], abs=0.006)
        assert float(row[column["kNN distance"]]) == pytest.approx(run["knn_distance"], rel=1e-3)
        assert row[column["Width"]] == str(run["model.width"])
        assert row[column["Status"]] == run["status"]


def test_every_finding_stands_there_with_its_verdict(page: Page, sweep: Path) -> None:
    rows = page.tables["findings-table"][1:]
    by_id = {answer.id: answer for answer in verdicts(Runs.read(sweep, cache=False))}
    asked = {answer.id for answer in by_id.values() if answer.effect is not None}
    assert len(rows) == len(asked)
    # What no run asks is one folded line with what it would take.
    assert f"Findings that these runs cannot test ({len(published()) - len(asked)})" in page.words
    assert all(answer.needs in page.words for answer in by_id.values())
    for row in rows:
        ident = next(name for name in by_id if name in row[1].split())
        assert by_id[ident].headline in row[0]
        assert by_id[ident].claim in row[1]
    assert by_id["width_monotonic"].headline == "supported"
    assert str(by_id["width_monotonic"].effect) in page.words


def test_what_was_run_is_said(page: Page) -> None:
    for words in (
        "width.py --preset paper --name a<b&c",
        "0123456789abcdef0123456789abcdef01234567",
        "torch 2.14.1",
        "x86_64",
        "64, 128, 256",
        "training.weight_decay",
        "12 of 12 trials finished",
        "of CPU time",
    ):
        assert words in page.words, words


def test_headlines_are_computed_from_the_data(page: Page, sweep: Path) -> None:
    top = best(load(sweep, cache=False))["memorization_ratio"].max()
    assert f"that copy a training image, is {100 * top:.1f}%" in page.words
    assert "The strongest effect beside |D| is that of width" in page.words
    assert "Doubling |D|, the number of training images, multiplies the odds that a sample is a copy by" in page.words


def test_the_gallery_marks_replicas_in_form_and_in_words(page: Page) -> None:
    pairs = [attributes for tag, attributes in page.tags if str(attributes.get("class")).startswith("pair")]
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 2 * len(pairs) > 0
    assert all("alt" in image for image in images)
    marked = sum(attributes["class"] == "pair replica" for attributes in pairs)
    assert 0 < marked < len(pairs)
    assert sum("a replica" in str(image["alt"]) for image in images) == marked


def test_figures_are_described_and_keep_their_text(page: Page, html: str) -> None:
    drawings = [a for tag, a in page.tags if tag == "svg" and a.get("role") == "img"]
    assert len(drawings) >= 2
    assert all(a["aria-label"] for a in drawings)
    assert "Memorization ratio (%)" in page.words
    assert "#262626" not in html  # colors follow the theme


def test_the_emm_stands_there_in_a_table_and_in_words(page: Page) -> None:
    heading, *rows = page.tables["emm-table"]
    assert {row[heading.index("Width")] for row in rows} == {"64", "128", "256"}
    assert any(row[heading.index("Kind")] == "measured" for row in rows)
    assert "EMM (effective model memorization: the largest |D| at which 90% of the samples" in page.words


def test_headings_are_in_order(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_equal_data_give_an_equal_page(sweep: Path) -> None:
    data = load(sweep, cache=False)
    assert build(Runs.of(data), resamples=2, draw=False) == build(Runs.of(data), resamples=2, draw=False)


def test_failures_are_said_plainly(tmp_path: Path) -> None:
    trials = grid(model__width=(64, 128, 256), data__size=SIZES)
    folder = write_sweep(tmp_path / "cut", trials, shift, unfinished=(0, 1))
    lost = sorted(path for path in folder.iterdir() if path.is_dir())[-1]
    (lost / "result.json").unlink()
    (lost / "error.txt").write_text("Traceback ...\nRuntimeError: loss is <nan>\n")
    data = Runs.read(folder, cache=False)
    words = Page(build(data, draw=False)).words
    assert "1 trial of 6 never reported a number" in words
    assert "RuntimeError: loss is <nan>" in words
    assert "3 of 6 trials finished" in words
    assert "Not read" in words  # half a line


def test_a_hundred_trials_stay_below_two_megabytes(tmp_path: Path) -> None:
    trials = grid(model__width=(64, 128), data__size=SIZES, seed=tuple(range(25)))
    folder = write_sweep(tmp_path / "many", trials, shift)
    size = len(build(Runs.read(folder, cache=False), resamples=2).encode())
    assert 50_000 < size < 2_000_000


def test_a_page_can_be_made_of_one_running_trial() -> None:
    data = frame(grid(data__size=(1000,))).assign(status="running")
    page = Page(build(Runs.of(data)))
    assert "These runs can test none of the findings (19)" in page.words
    assert "findings-table" not in page.tables
    assert "0 / 1" in page.words
    with pytest.raises(MemosweepError, match="no trial has reported"):
        build(Runs.of(pd.DataFrame()))


def test_names_in_the_data_cannot_become_markup() -> None:
    data = frame(grid(data__dataset=("<script>alert(1)</script>",), data__size=SIZES))
    page = Page(build(Runs.of(data), title="<b>bold</b>", draw=False))
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert "<b>bold</b>" in page.words


def test_tick_labels_survive_the_shortening_of_numbers() -> None:
    svg = '<svg width="9pt" id="a" xmlns="http://x"><path d="M 1.23456 2"/><text fill="#262626">0.00123</text></svg>'
    element = embed(svg, "f", 'a "label"')
    assert "0.00123" in element
    assert "1.23 2" in element
    assert 'id="f-a"' in element
    assert "&quot;label&quot;" in element
    assert "http" not in element


def test_images_become_png() -> None:
    for channels in (1, 3):
        assert data_uri(np.zeros((channels, 4, 4), dtype=np.uint8)).startswith("data:image/png;base64,iVBOR")


def run(arguments: Sequence[str | Path]) -> int:
    return main([str(argument) for argument in arguments])


def test_the_command_writes_the_page(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "page.html"
    assert run(["report", sweep, "--out", target, "--no-figures", "--title", "My sweep"]) == 0
    assert "12 trials" in capsys.readouterr().out
    assert "<h1>My sweep</h1>" in target.read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_bad_input_is_one_line_and_exit_code_two(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in (
        ["report", tmp_path / "empty", "--out", tmp_path / "r.html"],
        ["report", tmp_path / "nowhere", "--out", tmp_path / "r.html"],
        ["report", sweep, "--out", tmp_path],
        ["report", sweep, "--out", tmp_path / "no" / "r.html"],
        ["compare", sweep, tmp_path / "nowhere"],
        ["importance", tmp_path / "empty"],
        ["importance", sweep, "--resamples", "0"],
    ):
        assert run(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("python -m analysis ")
        assert error.count("\n") == 1, error
    assert not (tmp_path / "r.html").exists()


def test_half_written_results_are_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_sweep(tmp_path / "cut", grid(model__width=(64, 128), data__size=SIZES), unfinished=(0,))
    assert run(["report", folder, "--no-figures", "--out", tmp_path / "r.html"]) == 0
    assert "skipped: " in capsys.readouterr().err


def test_compare_and_importance_print_text_and_json(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json
    import shutil

    copy = shutil.copytree(sweep, tmp_path / "copy")
    assert run(["compare", sweep, copy]) == 0
    assert "0 of 6 matched settings differ beyond noise" in capsys.readouterr().out
    assert run(["compare", sweep, copy, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["matches"]) == 6
    assert run(["importance", sweep, "--resamples", "2"]) == 0
    assert "|D|" in capsys.readouterr().out
    assert run(["importance", sweep, "--resamples", "2", "--json"]) == 0
    factors = json.loads(capsys.readouterr().out)["factors"]
    assert {factor["factor"] for factor in factors} == {"data.size", "model.width", "seed"}


def test_figures_show_finished_runs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    data = frame(grid(model__width=(64, 128), data__size=SIZES))
    cut = data["trial_id"] == "p_00000"
    data.loc[cut, "status"] = "interrupted"
    drawn: list[Runs] = []
    monkeypatch.setattr("analysis.report.page.figure_blocks", lambda runs, _: drawn.append(runs) or ({"": []}, []))
    build(Runs.of(data), resamples=2)
    build(Runs.of(data.assign(status="running")), resamples=2)
    assert "p_00000" not in set(drawn[0].best["trial_id"])
    assert len(drawn[1].best) == 4  # nothing has finished: show what is there


def test_fid_is_drawn_where_it_is_reported() -> None:
    data = frame(grid(model__width=(64, 128), data__size=SIZES))
    data["fid"] = 5 + 10 * data["memorization_ratio"]
    page = Page(build(Runs.of(data), resamples=2))
    assert "FID in place of the ratio" in page.words
    drawn = [str(a["aria-label"]) for tag, a in page.tags if tag == "svg" and a.get("role") == "img"]
    assert any(label.startswith("FID: Over Width") for label in drawn)
    heading, *rows = page.tables["trials-table"]
    assert float(rows[0][heading.index("FID")]) == pytest.approx(data["fid"][data["epoch"] == 40_000].iloc[0], rel=1e-3)


def test_the_gallery_shows_samples_behind_a_url(sweep: Path) -> None:
    local = Runs.read(sweep, cache=False)
    rows = local.evaluations
    remote = Runs.of(rows.assign(folder="file://" + rows["folder"].astype(str)))
    assert len(gallery(remote, describe(remote))) == len(gallery(local, describe(local))) > 0


def test_columns_that_follow_from_others_are_left_out_in_print() -> None:
    trials = [
        {**s, "training.learning_rate": s["training.batch_size"] * 1e-6} for s in grid(training__batch_size=(64, 128))
    ]
    html = build(Runs.of(frame(trials)), draw=False)
    assert '<th scope="col" data-sort class="n screen">Learning rate</th>' in html
    assert '<th scope="col" data-sort class="n">Batch size</th>' in html


def test_paper_tables_mark_lower_bounds() -> None:
    data = frame(grid(training__weight_decay=(0, 1e-2), data__size=SIZES))
    stopped = (data["training.weight_decay"] == 0) & (data["data.size"] == SIZES[0])
    heading, *rows = Page(build(Runs.of(data.assign(stopped_early=stopped)), draw=False)).tables["paper2-0-table"]
    # A row of the paper for each of our values, a column for each |D|; a bound has no difference.
    assert [row[0] for row in rows] == ["0", "0.01"]
    cells = {(row[0], size): cell for row in rows for size, cell in zip(heading[1:], row[1:], strict=True)}
    assert re.fullmatch(r">=\d+\.\d\d \(92\.09\)", cells["0", "|D| = 1k"])
    assert re.fullmatch(r"\d+\.\d\d \(60\.93, [+-]\d+\.\d\d\)", cells["0", "|D| = 2k"]), cells


def test_the_page_opens_with_what_was_run(page: Page) -> None:
    words = page.words
    line = (
        "CIFAR-10, |D| = 1k and 2k training images; DDPM++, width 64, 128 and 256, depth 2, trained for 40,000 epochs; "
        "2,000 samples an evaluation; 12 trials, 2 training seeds"
    )
    assert words.index(line) < words.index("Summary The highest") < words.index("Each bar shows an effect")


def test_where_nothing_was_memorized_no_setting_is_the_highest() -> None:
    data = frame(grid(model__width=(64, 128), data__size=SIZES)).assign(memorization_ratio=0.0)
    page = Page(build(Runs.of(data), draw=False))
    assert "Nothing was memorized yet: all 16 evaluations of 4 trials gave a ratio of 0" in page.words
    assert "highest memorization ratio," not in page.words


def test_trials_that_had_not_begun_to_memorize_are_named_and_no_evidence() -> None:
    data = frame(grid(model__width=(64, 128), data__size=SIZES, seed=(0, 1)))
    cut = data["model.width"] == 64
    data.loc[cut, ["memorization_ratio", "knn_distance"]] = (0.0, 36.0)
    whole = {answer.id: answer for answer in verdicts(Runs.of(data))}
    assert whole["width_monotonic"].effect is not None
    # Half of the distance is left at each evaluation.
    data.loc[cut, "knn_distance"] = 64.0 * 0.5 ** data.loc[cut].groupby("trial_id").cumcount()
    learning = {answer.id: answer for answer in verdicts(Runs.of(data))}
    assert learning["width_monotonic"].effect is None
    words = Page(build(Runs.of(data), draw=False)).words
    assert "4 trials had not begun to memorize" in words
    assert "left out of summary, findings, effects and importances" in words
    assert "take the 0 as it is: |D| = 1k, Width = 64" in words
    # The summary rests on the same trials as the findings: the lowest ratio is none of theirs.
    assert "the lowest is 0.0%" not in words
    assert "(without 4 trials that had not begun to memorize, see below)" in words


def test_the_report_says_what_it_does() -> None:
    said: list[str] = []
    build(Runs.of(frame(grid(model__width=(64, 128), data__size=SIZES))), resamples=2, say=said.append)
    assert said[0] == "effects and verdicts"
    assert any(line.startswith("figure 1: ") for line in said)
    said.clear()
    build(Runs.of(frame(grid(model__width=(64, 128), data__size=SIZES))), draw=False, say=said.append)
    assert "importances" not in said
