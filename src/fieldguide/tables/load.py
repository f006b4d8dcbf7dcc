"""A run's results as pandas frames, for notebooks: `fieldguide.load_results("results/aviary")`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fieldguide.core.errors import FieldguideError
from fieldguide.tables.results import find_cells, read_cells, read_frame

if TYPE_CHECKING:
    import pandas as pd

TABLES = (
    "accuracy",
    "differences",
    "recipes",
    "image_worth",
    "sampling",
    "conversion",
    "classes",
    "confusions",
    "probe",
)
"""The frames that are read from `tables/<name>.csv`."""


class Results:
    """The frames of one results folder, each read when it is asked for.

    Every frame is tidy. Accuracies, shares (`image_percent`, `text_percent`) and `percent…` columns are in percent,
    differences in percentage points; `…_ci95` is the half-width of a 95% t interval over seeds, missing from one seed,
    and `…_ci95_seeds_images` that of one over test images too.
    A cell is known by `image_percent`, `text_source`, `text_names`, `text_unit`, `sampling`, `redraw`,
    `budget`, `recipe` and `translator`; image-only cells have `none` for what concerns texts.

    A frame whose table was not made yet is a FieldguideError that says how to make it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        there = [name for name in TABLES if self._path(name).is_file()]
        return f"<results in {self.folder}: {', '.join(['cells', *there])}>"

    def _path(self, name: str) -> Path:
        return self.folder / "tables" / f"{name}.csv"

    def _read(self, name: str) -> pd.DataFrame:
        path = self._path(name)
        if not path.is_file():
            raise FieldguideError(
                f"{path}: was not made yet; run `make everything`, or `snakemake everything` with your configuration"
            )
        return read_frame(path)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Every trained cell, a row per cell and seed: `seed`, `accuracy` on the test images; see `read_cells`.

        Beside the table's cells those of the sampling study, of recipes and baselines, and of compared translators.
        """
        return read_cells(self.folder)

    @cached_property
    def accuracy(self) -> pd.DataFrame:
        """The comparison table, a row per cell: `accuracy_mean`, `accuracy_ci95`, `n_seeds`; `distinct_images` and
        `distinct_texts` seen in training, means over seeds."""
        return self._read("accuracy")

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Paired differences `first_…` - `second_…` at one share of images: `difference_mean`; over seeds
        `difference_ci95`, Student's `t` and `p`; over test images too `difference_ci95_seeds_images` and
        `p_seeds_images`; `p_holm`, which corrects the latter by Holm; `significant` (at 5% after the correction;
        missing where there is no test); `detectable`, the smallest difference that could not have gone unseen;
        `same_predictions`, which have no test."""
        frame = self._read("differences").rename(columns={"told_apart": "significant"})  # its name in version 0.1
        is_yes = {"yes": True, "no": False}
        words = [column for column in ("significant", "same_predictions") if column in frame]
        return frame.assign(**{column: frame[column].map(is_yes).astype("boolean") for column in words})

    @cached_property
    def recipes(self) -> pd.DataFrame:
        """Recipes and baselines of one sampling and redraw, a row per cell, columns as of `accuracy`."""
        return self._read("recipes")

    @cached_property
    def image_worth(self) -> pd.DataFrame:
        """What text is worth against an image-only column (`image_only_recipe`): `images_per_class_saved`, labelled
        images per class, `images_saved`, in all, `percent_of_images_saved`; all bounds where `relation` is not `=`;
        `verdict`."""
        return self._read("image_worth")

    @cached_property
    def sampling(self) -> pd.DataFrame:
        """What every combination of sampling, redraw and budget gives, a row per combination and text source; on CUB
        `rmse` and `bias` beside the published figures, in points."""
        return self._read("sampling")

    @cached_property
    def conversion(self) -> pd.DataFrame:
        """Conversion accuracy, a row per translator: measures on held-out pairs (`cosine`, `recall_1` in percent, …)
        and, of each text source, on the data set; each followed by the half-width of its interval."""
        return self._read("conversion")

    @cached_property
    def classes(self) -> pd.DataFrame:
        """Accuracy of each cell by class: `images`, labelled training images of the class, mean over seeds;
        `test_images` (count), `accuracy_mean`."""
        return self._read("classes")

    @cached_property
    def confusions(self) -> pd.DataFrame:
        """The classes that each cell confuses most: `percent` of the test images of `class_name` are taken for
        `taken_for_name`, and `percent_back` the other way round; `image_id`, the image that most runs mistake."""
        return self._read("confusions")

    @cached_property
    def probe(self) -> pd.DataFrame:
        """scikit-learn's logistic regression on the same images: `probe_accuracy`, the thesis recipe's
        `thesis_accuracy`, and their `difference`."""
        return self._read("probe")


def load_results(folder: Path | str) -> Results:
    """A run's results as pandas frames: `load_results("results/aviary").cells`.

    folder: `results/<data set>`. Its frames are attributes of what this returns: `cells` (by seed), `accuracy`,
    `differences`, `recipes`, `image_worth`, `sampling`, `conversion`, `classes`, `confusions`, `probe`; what their
    columns hold, with units, is said there and in docs/results.md.

    Raises FieldguideError where the folder holds no trained cell.
    """
    find_cells(folder)
    return Results(Path(folder))
