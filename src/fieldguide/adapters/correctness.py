"""Which test images each run of a cell names rightly, kept beside the cell as bits: what intervals over images need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldguide.adapters.results import HINT
from fieldguide.core.arrays import Ints
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import hash_ids
from fieldguide.features.store import read_file, save_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
else:
    Bools = Any


@dataclass(frozen=True)
class Correctness:
    """Which images are named rightly.

    right: (R, M) of the runs in the order of the cell's seeds, and the test images in the order of the records.
    images: fingerprint of the test images' ids. predictions: fingerprint of what all runs predict, so that two cells
    with the same one name every image alike.
    """

    right: Bools
    images: str
    predictions: str


def correctness_path(cell: Path | str) -> Path:
    """`ratio-10.correct.safetensors`, beside the cell's JSON."""
    return Path(cell).with_suffix(".correct.safetensors")


def write_correctness(cell: Path | str, predicted: Ints, labels: Ints, ids: Sequence[str]) -> None:
    """Keep which of the test images, labels (M,) and ids, each run's predictions (R, M) name rightly."""
    about = {
        "images": hash_ids(ids),
        "predictions": hash_ids(*([str(label) for label in run] for run in predicted.tolist())),
        "test_images": str(len(labels)),
    }
    save_tensors(correctness_path(cell), {"right": np.packbits(predicted == labels, axis=1)}, about)


def read_correctness(cell: Path | str) -> Correctness | None:
    """What is kept beside a cell; None where there is nothing, as beside cells of older versions.

    Raises FieldguideError naming a file that holds something else.
    """
    path = correctness_path(cell)
    if not path.is_file():
        return None
    tensors, about = read_file(path)
    count = about.get("test_images", "")
    right = tensors.get("right")
    if right is None or right.dtype != np.uint8 or not count.isdecimal() or right.shape[1:] != (-(-int(count) // 8),):
        raise FieldguideError(f"{path}: does not say which test images are right; {HINT.replace('file', 'cell')}")
    bits = np.unpackbits(right, axis=1, count=int(count)).astype(bool)
    return Correctness(bits, about.get("images", ""), about.get("predictions", ""))
