"""The report's page as a file: whole in itself, small, without what nobody made, and the same bytes twice."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from fieldguide.data.image_store import open_image_store
from fieldguide.report import write_report
from fieldguide.report.accuracy_chart import accuracy_chart
from fieldguide.report.charts import class_chart
from fieldguide.report.confusions import Photographs
from fieldguide.tables.results import read_cells, summarise, to_rows
from tests.planted_report import HOSTILE, LLM, NOTE, plant_report
from tests.unit.planted_cells import plant, planted_cell, thesis_cells


class Links(HTMLParser):
    """What a page would fetch, and its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        told = dict(attrs)
        fetched = [told.get("src"), told.get("href") if tag in ("link", "base") else None, told.get("srcset")]
        self.fetched += [address for address in fetched if address]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return plant_report(tmp_path_factory.mktemp("report")).read_text(encoding="utf-8")


def section(page: str, name: str) -> str:
    """A section's markup."""
    found = re.search(rf'<section id="{name}">(.*?)</section>', page, re.DOTALL)
    assert found, name
    return found[1]


def test_nothing_on_it_is_fetched(page: str):
    links = Links()
    links.feed(page)
    assert links.fetched and all(address.startswith("data:") for address in links.fetched)
    styles = "".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    assert not [url for url in re.findall(r"url\(([^)]*)\)", styles) if not url.strip("\"'").startswith("data:")]
    assert "@import" not in styles


def test_it_is_small(page: str):
    assert len(page.encode()) < 3_000_000


def test_a_page_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(write_report, "MAX_BYTES", 1000)
    with pytest.raises(SystemExit, match=r"would be of .* MB, more than"):
        plant_report(tmp_path, bare=True)
    assert not (tmp_path / "report.html").exists()


def test_the_same_results_give_the_same_bytes(tmp_path: Path):
    first, second = (plant_report(tmp_path, bare=True).read_bytes() for _ in range(2))
    assert first == second


def test_names_are_never_markup(page: str):
    assert HOSTILE not in page
    assert "window.broken" in page, "the name is there, escaped"


def test_it_tells_notes_costs_and_provenance(page: str):
    assert NOTE in page
    costs = section(page, "costs")
    assert LLM in costs and "2,000" in costs and "1,000" in costs and "0.2500" in costs
    provenance = section(page, "provenance")
    assert re.search(r"<code>[0-9a-f]{64}</code>", provenance)
    assert "Commit" in provenance and "numpy" in provenance
    assert "secret" not in page and "…@llm.example" in provenance


def test_the_worth_of_each_text_is_told_in_a_sentence_as_the_page_of_the_table_does(tmp_path: Path):
    page = plant_report(tmp_path).read_text(encoding="utf-8")
    sentence = r"at \d+% of the images, the fewest here, the .+? labelled images per class"
    told = set(re.findall(sentence, section(page, "worth")))
    assert told and told == set(re.findall(sentence, (tmp_path / "image_worth.md").read_text(encoding="utf-8")))


def test_photographs_are_thumbnails_in_the_page(page: str):
    confusions = section(page, "confusions")
    assert confusions.count('<img src="data:image/jpeg;base64,') > 3
    assert "Oak Wren taken for" in confusions


def test_a_data_set_of_features_has_confused_classes_without_photographs(tmp_path: Path):
    page = plant_report(tmp_path, photographs=False).read_text(encoding="utf-8")
    confusions = section(page, "confusions")
    assert "came as features" in confusions and "<img" not in confusions
    assert "Size: Size of Oak Wren" in confusions


def test_a_photograph_that_does_not_open_is_left_out(tmp_path: Path):
    plant_report(tmp_path)
    for path in (tmp_path / "photographs").glob("2*.png"):
        path.write_bytes(b"no image")
    plant = Photographs(open_image_store(tmp_path / "photographs"), {"20": "20.png"})
    assert plant.thumbnail("20") == "" and plant.failed == 1
    assert plant.thumbnail("unknown") == ""


def test_what_was_not_made_is_said(tmp_path: Path):
    page = plant_report(tmp_path, bare=True).read_text(encoding="utf-8")
    assert "No table of conversion accuracy was made" in section(page, "conversion")
    assert "No text source of the table is an LLM." in section(page, "costs")
    assert "<table" not in section(page, "worth")
    assert 'id="further"' not in page


def test_a_chart_of_one_variant_has_nothing_to_choose_but_its_columns(tmp_path: Path):
    cells = [cell for cell in thesis_cells() if cell["sampling"] == "class-wise"]
    chart = accuracy_chart(to_rows(summarise(read_cells(plant(tmp_path, cells)))))
    names = {param["name"] for param in chart["params"] if "bind" in param}
    assert {"accuracy_source", "accuracy_beside"} <= names
    assert not {"accuracy_sampling", "accuracy_redraw", "accuracy_recipe", "accuracy_translator"} & names


def test_a_chart_without_text_or_with_one_cell_is_drawn(tmp_path: Path):
    rows = to_rows(summarise(read_cells(plant(tmp_path, [planted_cell("none", 100)]))))
    assert accuracy_chart(rows)["layer"]


def test_the_chart_of_classes_is_thinned_by_ratios(monkeypatch: pytest.MonkeyPatch):
    rows = pd.DataFrame({"image_percent": range(0, 101, 10)})
    monkeypatch.setattr(write_report, "MOST_POINTS", 6)
    left, note = write_report.thin(rows)
    assert left["image_percent"].tolist() == [0, 20, 40, 60, 80, 100]
    assert note.startswith("The chart shows 100, 80, 60, 40, 20, 0% of the images")
    few, note = write_report.thin(rows[:6])
    assert few.equals(rows[:6]) and note == ""


def test_importing_it_imports_no_torch():
    code = "import sys, fieldguide.report.write_report; sys.exit('torch' in sys.modules or 'altair' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_chart_of_classes_spans_all_images():
    row = {"class_name": "Wren", "accuracy_mean": 50, "text_source": "none", "translator": "none"}
    row |= {"sampling": "global", "redraw": "fixed", "recipe": "thesis", "image_percent": 100}
    chart = class_chart(pd.DataFrame([{**row, "images": 3}, {**row, "images": 30.5}]), {"none": "image only"})
    assert chart["layer"][0]["encoding"]["x"]["scale"]["domain"] == [0, 30.5]
