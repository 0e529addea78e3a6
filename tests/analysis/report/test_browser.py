"""The page's script in a real browser: sorting, filtering, saving, zooming. Skipped where there is none."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from analysis.report import build
from analysis.runs.runs import Runs
from tests.fakes import SIZES, grid, write_sweep

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")

SCRIPT = r"""
<script>
addEventListener("load", async () => {
  const seen = {};
  const table = document.getElementById("trials-table");
  const head = [...table.tHead.rows[0].cells].find((cell) => cell.textContent.startsWith("Ratio"));
  const column = () => [...table.tBodies[0].rows].map((row) => Number(row.cells[head.cellIndex].textContent));
  head.querySelector("button").click();
  seen.ascending = column();
  head.click();
  seen.descending = column();
  seen.sort = head.getAttribute("aria-sort");
  seen.heading = head.textContent.trim();

  const filter = document.querySelector("input[data-filter=trials-table]");
  filter.value = "00003";
  filter.dispatchEvent(new Event("input"));
  seen.shown = [...table.tBodies[0].rows].filter((row) => !row.hidden).length;
  seen.count = filter.closest(".tool").querySelector(".count").textContent;
  const trials = table.closest(".scroll");
  const hints = [];
  for (const width of ["300px", "5000px"]) {
    trials.style.width = width;
    dispatchEvent(new Event("resize"));
    hints.push(!filter.closest(".tool").querySelector(".wide").hidden);
  }
  trials.style.width = "";
  seen.hints = hints;

  let saved;
  URL.createObjectURL = (blob) => { saved = blob; return "#"; };
  URL.revokeObjectURL = () => {};
  document.querySelector("button[data-csv=trials-table]").click();
  seen.csv = await saved.text();
  document.querySelector("button[data-csv=findings-table]").click();
  seen.findings = (await saved.text()).split("\r\n");

  document.querySelector("figure .enlarge").click();
  const box = document.getElementById("lightbox");
  seen.open = box.open;
  box.querySelector("[data-zoom='1.25']").click();
  seen.transform = box.querySelector(".stage svg").style.transform;
  box.querySelector("[data-zoom='0']").click();
  seen.reset = box.querySelector(".stage svg").style.transform;
  box.querySelector("[data-close]").click();
  seen.closed = !box.open;
  document.title = JSON.stringify(seen);
});
</script>
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script saw; the title of the page carries it out of the browser."""
    folder: Path = tmp_path_factory.mktemp("page")
    sweep = write_sweep(folder / "width", grid(model__width=(64, 128), data__size=SIZES))
    page = folder / "page.html"
    page.write_text(build(Runs.read(sweep, cache=False), resamples=2).replace("</body>", f"{SCRIPT}</body>"))
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
               "--virtual-time-budget=10000", "--dump-dom", page.as_uri()]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    title = re.search("<title>(.*?)</title>", dom, re.DOTALL)
    assert title is not None
    answer: dict[str, Any] = json.loads(html.unescape(title.group(1)))
    return answer


def test_a_click_on_a_heading_sorts_and_a_second_one_turns(seen: dict[str, Any]) -> None:
    assert len(seen["ascending"]) == 4
    assert seen["ascending"] == sorted(seen["ascending"])
    assert seen["descending"] == sorted(seen["ascending"], reverse=True)
    assert seen["sort"] == "descending"
    assert seen["heading"] == "Ratio (%)"  # the words stay outside of the button, which print leaves out


def test_a_filter_hides_rows_and_counts(seen: dict[str, Any]) -> None:
    assert (seen["shown"], seen["count"]) == (1, "1 of 4 rows")


def test_what_is_shown_is_saved_as_csv(seen: dict[str, Any]) -> None:
    header, *rows = seen["csv"].split("\r\n")
    assert header.startswith('"Trial","Status","Ratio (%)"')
    assert len(rows) == 1
    assert "abcde_00003" in rows[0]


def test_findings_are_saved_a_line_each(seen: dict[str, Any]) -> None:
    assert 1 < len(seen["findings"]) < 1 + 19
    assert seen["findings"][0].startswith('"Verdict","Finding"')


def test_a_figure_opens_zooms_and_closes(seen: dict[str, Any]) -> None:
    assert seen["open"] is True
    assert seen["transform"].endswith("scale(1.25)")
    assert seen["reset"].endswith("scale(1)")
    assert seen["closed"] is True


def test_a_table_that_is_too_wide_says_so(seen: dict[str, Any]) -> None:
    assert seen["hints"] == [True, False]
