"""What a results folder holds for those who ask it: its classes, its texts, its trained cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldguide.adapters.recipes.registry import NAMES, RECIPES, WITH_NAMES
from fieldguide.adapters.results import CellResult
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv
from fieldguide.data.class_names import ClassRule, closest
from fieldguide.inference.calibration import Calibration
from fieldguide.texts.table import read_texts as read_table

RESULTS = Path("results")
CLASSES = "records/classes.csv"
IMAGES = "records/images.csv"
MADE_OF_NAMES = (NAMES, WITH_NAMES)
"""Ends the names of text tables that are made of class names: they say nothing more."""


def find_results(given: Path | None) -> Path:
    """A data set's results folder: the one given, the only one in it, or the newest; `results` where none is given.

    Raises FieldguideError where there is none.
    """
    folder = given or RESULTS
    if (folder / CLASSES).is_file():
        return folder
    found = [path.parents[1] for path in folder.glob(f"*/{CLASSES}")]
    if not found:
        raise FieldguideError(
            f"{folder}: holds no results ({CLASSES} is missing); run `make demo`, or name another results folder, such "
            "as results/aviary"
        )
    return max(found, key=lambda path: (newest(path), path.name))


def newest(folder: Path) -> float:
    """When the newest cell of a results folder was made; else its list of classes."""
    times = [path.stat().st_mtime for path in folder.glob("adapters/**/*.json")]
    return max(times, default=(folder / CLASSES).stat().st_mtime)


def read_classes(folder: Path) -> list[dict[str, str]]:
    """The classes (class_id, class_name, folder), in their order."""
    return read_csv(folder / CLASSES, ("class_id", "class_name"))


def find_class(name: str, classes: Sequence[dict[str, str]]) -> Mapping[str, str]:
    """The class of a name in any spelling, or of an id.

    Raises FieldguideError with the closest names where there is none, and with all of them where several are meant.
    """
    rule = ClassRule(classes)
    found = rule.classes_by_words(name)
    # A part of a name will do where only one class has it: `albatross` does not, `sooty` does.
    if not found:
        part = name.casefold().strip()
        found = [row["class_id"] for row in classes if part and part in row["class_name"].casefold()]
    if len(found) == 1:
        return rule.rows[found[0]]
    if found:
        names = ", ".join(rule.label(one) for one in found[:10]) + (" and others" if len(found) > 10 else "")
        raise FieldguideError(f"{name!r} may be {names}; give the whole name or the number")
    near = closest(name, [row["class_name"] for row in classes], 3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`fieldguide show --list` names all classes"
    raise FieldguideError(f"the guide has no class {name!r}; {hint}")


@dataclass(frozen=True)
class TextTable:
    """A text source: its rows (class_id, class_name, image_id, field, text), which may be about single images."""

    name: str
    path: Path
    rows: list[dict[str, str]]

    @property
    def is_of_images(self) -> bool:
        return any(row["image_id"] for row in self.rows)


def list_sources(folder: Path) -> list[str]:
    """The names of the text sources, those made of class names alone left out."""
    names = sorted(path.stem for path in (folder / "texts").glob("*.csv"))
    return [name for name in names if not name.endswith(MADE_OF_NAMES)]


def read_texts(folder: Path, name: str) -> TextTable:
    """One text source; raises FieldguideError that names those there are."""
    path = folder / "texts" / f"{name}.csv"
    if not path.is_file():
        known = list_sources(folder)
        hint = f"it has {', '.join(known)}" if known else "it has none"
        raise FieldguideError(f"{folder}: has no text source {name!r}; {hint}")
    return TextTable(name, path, [row._asdict() for row in read_table(path)])


def choose_cell(folder: Path) -> tuple[Path, str]:
    """The weights file of a results folder that names photographs best as far as one may look, and why it was taken.

    Of the cells with the largest share of images it is the one that names most of the training images that it was
    calibrated on, which it had not seen. Where no cell is calibrated it is one of a recipe whose logits are log odds,
    the thesis's if it is there. Test accuracy has no part in the choice, or it would no longer be one.
    """
    cells: list[tuple[CellResult, Path]] = []
    calibrated: list[tuple[CellResult, float, Path]] = []
    for weights in sorted(folder.glob("adapters/**/ratio-*.safetensors")):
        if not weights.with_suffix(".json").is_file():
            continue
        cell, path = CellResult.read(weights.with_suffix(".json")), Calibration.path(weights)
        right = Calibration.read(path).held_out_accuracy if path.is_file() else None
        cells.append((cell, weights))
        if right is not None:
            calibrated.append((cell, right, weights))
    if calibrated:
        largest = max(cell.image_percent for cell, *_ in calibrated)
        best = max((one for one in calibrated if one[0].image_percent == largest), key=lambda one: one[1])
        return best[2], (
            f"{best[0].recipe} with {largest}% of the images, which names most of the training images that it did not "
            f"see ({best[1]:.1f}%)"
        )
    if not cells:
        raise FieldguideError(
            f"{folder}: holds no trained cell that `fieldguide classify` can use; run the workflow, which trains them, "
            "or name one by --checkpoint"
        )
    cell, weights = max(cells, key=lambda one: (_has_log_odds(one[0].recipe), one[0].image_percent, one[0].recipe))
    return weights, f"{cell.recipe} with {cell.image_percent}% of the images"


def _has_log_odds(recipe: str) -> bool:
    return recipe in RECIPES and RECIPES[recipe].compared
