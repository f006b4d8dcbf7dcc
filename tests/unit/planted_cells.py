"""Cells as the adapter stage writes them, with planted accuracies, for the tests of the reporting stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fieldguide.adapters.correctness import Bools, write_correctness
from fieldguide.tables.results import ACCURACY_FORMATS, read_cells, summarise, write_frame

BACKBONE = "ViT-L-14_openai_ab12cd34"
N_TRAIN = 5994


def planted_cell(source: str, percent: int, **changes: Any) -> dict[str, Any]:
    """One cell's JSON: image only where `source` is none; accuracies one below, at and one above 50 + percent / 4."""
    image_only = source == "none"
    images = N_TRAIN * percent // 100
    cell: dict[str, Any] = {
        "image_percent": percent,
        "text_percent": 100 - percent,
        "text_source": source,
        "text_names": "none" if image_only else "unnamed",
        "text_unit": "none" if image_only else "caption" if source == "reed" else "field",
        "sampling": "class-wise",
        "redraw": "fixed",
        "budget": "steps",
        "recipe": "thesis",
        "translator": "none" if image_only else "qformer",
        "backbone": BACKBONE,
        "seeds": [0, 1, 2],
        "accuracy": [49 + percent / 4, 50 + percent / 4, 51 + percent / 4],
        "distinct_images": [images] * 3,
        "distinct_texts": [0 if image_only else N_TRAIN - images] * 3,
        "optimiser_steps": 400,
        "plan_sha256": "ab12",
        "versions": {"python": "3.11"},
    }
    return cell | changes


def plant(folder: Path, cells: list[dict[str, Any]]) -> list[str]:
    """Write the cells, one file each; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, cell in enumerate(cells):
        path = folder / f"{number:03d}-ratio-{cell.get('image_percent')}.json"
        path.write_text(json.dumps(cell), encoding="utf-8")
        paths.append(str(path))
    return paths


def plant_runs(folder: Path, cells: list[tuple[dict[str, Any], Bools]], images: str = "i") -> list[str]:
    """Cells with what each of their runs names rightly (S, M), and accuracies to fit; returns their paths.

    The images are of one class, and what is wrong is of the next one.
    """
    paths = plant(folder, [cell | {"accuracy": (right.mean(1) * 100).round(6).tolist()} for cell, right in cells])
    for path, (_, right) in zip(paths, cells, strict=True):
        labels = np.zeros(right.shape[1], np.int64)
        write_correctness(path, np.where(right, 0, 1), labels, [f"{images}{n}" for n in range(len(labels))])
    return paths


def write_accuracy(folder: Path, cells: list[dict[str, Any]]) -> Path:
    """accuracy.csv of cells, as tabulate_accuracy writes it."""
    path = folder / "accuracy.csv"
    write_frame(path, summarise(read_cells(plant(folder / "cells", cells))), ACCURACY_FORMATS)
    return path


def thesis_cells(llm: str = "gpt-3.5-turbo", redraws: tuple[str, ...] = ("fixed",)) -> list[dict[str, Any]]:
    """The thesis's 30 class-wise cells and the 20 global ones that answer the earlier study."""
    cells = []
    for redraw in redraws:
        for sampling, sources in (("class-wise", ("none", "reed", llm)), ("global", ("none", "reed"))):
            for source in sources:
                percents = range(10, 101, 10) if source == "none" else range(0, 91, 10)
                shift = {"none": 0, "reed": -1}.get(source, -2) - (10 if sampling == "global" else 0)
                for p in percents:
                    accuracy = [a + shift + p / 4 for a in (59, 60, 61)]
                    cells.append(planted_cell(source, p, sampling=sampling, redraw=redraw, accuracy=accuracy))
    return cells
