"""A report of planted results, for the tests of its page: cells, tables, photographs, texts and a ledger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from fieldguide.core.files import write_csv
from fieldguide.report import write_report
from fieldguide.tables import compare_recipes, tabulate_image_worth
from fieldguide.tables.predict_classes import CLASS_FORMATS, CONFUSION_FORMATS
from fieldguide.tables.results import CELL
from fieldguide.texts.ledger import LedgerRecord, Message, Request, Usage, record_line, request_key
from fieldguide.texts.table import TEXT_COLUMNS
from tests.unit.planted_cells import plant, planted_cell, thesis_cells

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT / "workflow/resources/published.csv"
LLM = "gpt-3.5-turbo"
HOSTILE = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 2'> Wren"
"""A class name that would run if a page took it for markup."""
NAMES = ("Ash Wren", "Oak Wren", HOSTILE, "Elm Finch")
COLOURS = ("#a33", "#3a3", "#33a", "#aa3")
NOTE = "Planted figures: they say nothing."


def report_cells() -> list[dict[str, Any]]:
    """The thesis's cells, images drawn anew as well, and the anchored recipe above them."""
    cells = thesis_cells(LLM, ("fixed", "per-epoch"))
    for source in ("reed", LLM):
        for percent in range(0, 91, 10):
            accuracy = [a + percent / 5 for a in (62.0, 63.0, 64.0)]
            cells.append(planted_cell(source, percent, recipe="anchored", accuracy=accuracy))
    return cells


def identify(cell: dict[str, Any]) -> dict[str, str]:
    return {column: f"{cell[column]:g}" if column == "image_percent" else cell[column] for column in CELL}


def plant_records(folder: Path) -> None:
    """Two training and two test photographs of each class."""
    classes = [{"class_id": str(i), "class_name": n, "folder": f"c{i}"} for i, n in enumerate(NAMES, start=1)]
    write_csv(folder / "records/classes.csv", ("class_id", "class_name", "folder"), classes)
    images = []
    for one in classes:
        for number in range(4):
            image_id, split = f"{one['class_id']}{number}", "train" if number < 2 else "test"
            path = folder / "photographs" / f"{image_id}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (200, 150), COLOURS[int(one["class_id"]) - 1]).save(path)
            images.append({"image_id": image_id, "path": path.name, "class_id": one["class_id"], "split": split})
    write_csv(folder / "records/images.csv", ("image_id", "path", "class_id", "split"), images)


def plant_texts(folder: Path) -> None:
    """Two texts of each class and source."""
    for source in ("reed", LLM):
        rows = [
            {"class_id": str(i), "class_name": n, "image_id": "", "field": field, "text": f"{field} of {n} by {source}"}
            for i, n in enumerate(NAMES, start=1)
            for field in ("Size", "Beak")
        ]
        write_csv(folder / f"texts/{source}.csv", TEXT_COLUMNS, rows)


def plant_by_class(folder: Path, cells: Sequence[dict[str, Any]]) -> None:
    """What predict_classes writes: the second class is worst, and taken for the third."""
    by_class, confused = [], []
    for cell in cells:
        for i, name in enumerate(NAMES, start=1):
            mean = cell["accuracy"][1] - (20 if i == 2 else 0)
            by_class.append(
                identify(cell)
                | {"class_id": i, "class_name": name, "images": cell["image_percent"] * 0.3, "test_images": 2}
                | {"accuracy_mean": f"{mean:.2f}", "accuracy_ci95": "1.00", "n_seeds": 3}
            )
        confused.append(
            identify(cell)
            | {"class_id": 2, "class_name": NAMES[1], "taken_for_id": 3, "taken_for_name": NAMES[2]}
            | {"percent": "37.50", "percent_back": "12.50", "image_id": "22", "n_seeds": 3}
        )
    write_csv(folder / "tables/classes.csv", list(CLASS_FORMATS), by_class)
    write_csv(folder / "tables/confusions.csv", list(CONFUSION_FORMATS), confused)


def llm_source(folder: Path) -> dict[str, Any]:
    """The configuration of the LLM, with a ledger of two replies, one of them not used."""
    request = Request(model=LLM, messages=(Message(role="user", content="Ash Wren?"),))
    records = [
        LedgerRecord(
            key=request_key(request),
            request=request,
            reply_index=index,
            class_name="Ash Wren",
            reply="**Size:** small",
            synthetic=False,
            usage=Usage(prompt_tokens=1000, completion_tokens=500),
            price_usd=0.125,
            rejected=rejected,
        )
        for index, rejected in enumerate((None, "lacks Beak"))
    ]
    ledger = folder / "ledger.jsonl"
    ledger.write_bytes(b"".join(map(record_line, records)))
    prompt = ROOT / "workflow/resources/prompts/field_guide.txt"
    return {
        "kind": "llm",
        "model": LLM,
        "ledger": str(ledger),
        "prompt": str(prompt),
        "fields": ["Size", "Beak"],
        "replies_per_class": 1,
        "prices": {"input": 0.5, "output": 1.5},
    }


def plant_report(folder: Path, bare: bool = False, photographs: bool = True, **settings: Any) -> Path:
    """Write the page from planted results; a bare one has cells and records, and nothing else.

    settings: those of write_report, beside those planted.
    """
    cells = report_cells()
    paths = plant(folder / "adapters", cells)
    plant_records(folder)
    records = ["--records", str(folder / "records/images.csv")]
    page = folder / "report.html"
    asked = ["--cells", *paths, *records, "--classes", str(folder / "records/classes.csv")]
    if not bare:
        plant_texts(folder)
        plant_by_class(folder, cells)
        tables, named = folder / "tables", ["--settings", '{"dataset": "cub"}']
        worth = ["--csv", str(tables / "image_worth.csv"), "--md", str(folder / "image_worth.md")]
        tabulate_image_worth.main(["--cells", *paths, *records, *named, *worth])
        first = [
            p for p, c in zip(paths, cells, strict=True) if (c["sampling"], c["redraw"]) == ("class-wise", "fixed")
        ]
        side = ["--csv", str(tables / "recipes.csv"), "--md", str(folder / "recipes.md")]
        compare_recipes.main(["--cells", *first, *named, *side])
        conversion = [
            {"translator": name, "cosine": cosine, "recall_1": recall, "reed_zs_translated": recall}
            for name, cosine, recall in (("identity", 0.25, 1.5), ("qformer", 0.71, 22.0))
        ]
        write_csv(tables / "conversion.csv", ("translator", "cosine", "recall_1", "reed_zs_translated"), conversion)
        asked += ["--tables", *map(str, sorted(tables.glob("*.csv")))]
        asked += ["--photographs", str(folder / "photographs")] if photographs else []
        asked += ["--published", str(PUBLISHED)]
        asked += [word for name in ("reed", LLM) for word in ("--texts", name, f"{folder}/texts/{name}.csv")]
        secret = {"texts": {LLM: {"base_url": "https://user:secret@llm.example/v1"}}}
        settings |= {"sources": {LLM: llm_source(folder)}, "thing": "bird", "notes": [NOTE], "configuration": secret}
    write_report.main([*asked, "--settings", json.dumps({"dataset": "cub", **settings}), "--out", str(page)])
    return page
