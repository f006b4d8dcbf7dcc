"""The tables of records: their columns, the names of classes, what every data set has to have, and their one writer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from fieldguide.core.errors import FieldguideError, name_some, refuse_if_any, repeated
from fieldguide.core.files import write_csv
from fieldguide.core.stage import log
from fieldguide.data.class_names import in_nfc, number_of, without_number

IMAGE_COLUMNS = ("image_id", "path", "class_id", "split")
CLASS_COLUMNS = ("class_id", "class_name", "folder")
PAIR_COLUMNS = ("pair_id", "image_id", "path", "caption")

MIN_TRAIN_IMAGES = 2
"""Training images that every class needs: one of them is held out to choose hyper-parameters."""


def class_name(folder: str) -> str:
    """`001.Black_footed_Albatross` is called Black footed Albatross."""
    return " ".join(without_number(folder).replace("_", " ").split())


def natural(name: str) -> list[tuple[int, int, str]]:
    """A sorting key by which `class 10` comes after `class 9`; case counts last."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(int(i % 2), int(part) if i % 2 else 0, part) for i, part in enumerate(parts)] + [(-1, 0, name)]


def name_classes(folders: Sequence[str], names: Sequence[str], where: object) -> list[dict[str, str]]:
    """The rows of classes.csv, numbered from 1 in the given order: each class as its data calls it, and its name.

    Raises FieldguideError for an empty name, for two classes of one name (case does not count), and for a single class.
    """
    unnamed = [folder for folder, name in zip(folders, names, strict=True) if not name]
    refuse_if_any(unnamed, f"{where}: classes without a name", "name them")
    alike = [in_nfc(name).casefold() for name in names]
    same = [
        " and ".join(map(_visible, (folder for folder, name in zip(folders, alike, strict=True) if name == one)))
        for one in repeated(alike)
    ]
    refuse_if_any(same, f"{where}: classes of the same name", "rename one of each; texts are found by class name")
    if len(names) < 2:
        raise FieldguideError(
            f"{where}: has {len(names)} class{'es' * (len(names) != 1)}; a classifier needs at least 2"
        )
    return [
        {"class_id": str(number), "class_name": name, "folder": folder}
        for number, (folder, name) in enumerate(zip(folders, names, strict=True), 1)
    ]


def _visible(name: str) -> str:
    """A name, in quotes where spaces at its ends would not be seen."""
    return name if name == name.strip() else repr(name)


def check_train_images(train: Mapping[str, int], classes: Sequence[str], where: object) -> None:
    """Refuse classes with fewer than MIN_TRAIN_IMAGES training images; `train` counts them."""
    few = [f"{one} ({train.get(one, 0)})" for one in classes if train.get(one, 0) < MIN_TRAIN_IMAGES]
    refuse_if_any(
        few,
        f"{where}: classes with fewer than {MIN_TRAIN_IMAGES} training images, of which one is held out to choose"
        " settings",
        "give them more, or take the class out of both splits",
    )


def write_records(
    images_out: Path,
    classes_out: Path,
    images: Sequence[Mapping[str, str]],
    classes: Sequence[Mapping[str, str]],
    where: object,
    note: str = "",
) -> None:
    """Write images.csv and classes.csv, and log how much there is; the images are there when the classes are.

    A number that is taken off some names only, as of `1. FC Köln`, may belong to them, and is named in the log.
    """
    numbered = [row["folder"] for row in classes if number_of(row["folder"]) is not None]
    if 0 < len(numbered) < len(classes):
        log.warning(
            "%s: %d of %d classes have a number in front, which is not taken for a part of their names: %s; write it"
            " without the dot where it is one",
            *(where, len(numbered), len(classes), name_some(numbered)),
        )
    write_csv(classes_out, CLASS_COLUMNS, classes)
    write_csv(images_out, IMAGE_COLUMNS, images)
    split = Counter(row["split"] for row in images)
    log.info(
        "%s: %d classes, %d images, %d train and %d test%s",
        *(where, len(classes), len(images), split["train"], split["test"], note),
    )
