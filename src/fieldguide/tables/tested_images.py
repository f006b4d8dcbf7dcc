"""What the cells' runs do on test sets drawn anew, read from the bits beside the cells: for intervals that hold images.

Also which cells make the same predictions, test image by test image: such a pair is no comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fieldguide.adapters.results import HINT, CellResult
from fieldguide.core.errors import FieldguideError
from fieldguide.core.significance import PairedTest
from fieldguide.core.stage import log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from fieldguide.core.arrays import Doubles

TOLERANCE = 1e-5
"""Points by which the share of right images may differ from the cell's accuracy: its JSON is rounded."""


@dataclass(frozen=True)
class TestedImages:
    """By cell, its accuracies (draws, S) in percent on test sets drawn anew, and the fingerprint of its predictions.

    Seeds in the order of `read_cells`; every cell has the same draws. count: images of the test set.
    """

    __test__ = False  # no class of pytest's

    resampled: Mapping[str, Doubles]
    predictions: Mapping[str, str]
    count: int

    def half_widths(self, accuracies: Mapping[str, Sequence[float]]) -> dict[str, float]:
        """Half-width of the 95% interval of each cell's accuracy, given by seed, in points; none from one seed."""
        from fieldguide.core.bootstrap import infer_over_seeds_and_images

        found = {
            path: infer_over_seeds_and_images(values, self.resampled[path]).half_width
            for path, values in accuracies.items()
        }
        return {path: width for path, width in found.items() if width is not None}

    def compare(self, first: str, second: str, differences: Sequence[float]) -> PairedTest:
        """The difference of two cells, of which the seeds' differences are given."""
        from fieldguide.core.bootstrap import infer_over_seeds_and_images

        return infer_over_seeds_and_images(differences, self.resampled[first] - self.resampled[second])

    def is_same(self, first: str, second: str) -> bool:
        """Whether all runs of two cells predict the same of every image."""
        return self.predictions[first] == self.predictions[second]


def read_tested_images(cells: pd.DataFrame) -> TestedImages | None:
    """What is kept beside cells of `read_cells`; None, and a sentence in the log, where some keep nothing.

    Raises FieldguideError where a cell's bits are not those of its JSON, or of other test images than the first's.
    """
    import numpy as np

    from fieldguide.adapters.correctness import correctness_path, read_correctness
    from fieldguide.core.bootstrap import resample_accuracies

    paths = [str(path) for path in cells["path"].unique()]
    found = {path: read_correctness(path) for path in paths}
    if missing := [path for path in paths if found[path] is None]:
        log.warning(
            "%s is not there (%d of %d cells lack theirs), so intervals hold seeds and no test images; delete "
            "these cells to have them trained again",
            correctness_path(missing[0]),
            len(missing),
            len(paths),
        )
        return None
    kept = {path: one for path, one in found.items() if one is not None}
    first = kept[paths[0]]
    for path, one in kept.items():
        cell = CellResult.read(path)
        if len(one.right) != len(cell.seeds) or any(
            abs(right * 100 - accuracy) > TOLERANCE
            for right, accuracy in zip(one.right.mean(1), cell.accuracy, strict=True)
        ):
            raise FieldguideError(f"{correctness_path(path)}: is not of the run of {path}; {HINT}")
        if one.images != first.images:
            raise FieldguideError(
                f"{path}: tested on other images than {paths[0]}; differences are paired by image, so train both with "
                "the same records"
            )
        # A cell's frame is in the order of its seeds.
        kept[path] = type(one)(one.right[np.argsort(cell.seeds)], one.images, one.predictions)
    drawn = resample_accuracies(np.concatenate([one.right for one in kept.values()]))
    ends = np.cumsum([len(one.right) for one in kept.values()])[:-1]
    return TestedImages(
        dict(zip(kept, np.split(drawn, ends, axis=1), strict=True)),
        {path: one.predictions for path, one in kept.items()},
        first.right.shape[1],
    )
