"""The recipes and baselines by name: which cells each can do and what it reads. Standard library only.

A recipe is a module of this package with `fit(task, settings) -> Fitted`, and `trials(count)` where it has something to
choose; a new one is its file and its line in `RECIPES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

NAMES = "class-names"
"""The text source that is the class names alone."""
RAW = "identity"
"""The translator that leaves texts as they are."""
WITH_NAMES = "-with-names"
"""Ends the name of the text table in which a source's texts have their class's name before them."""


@dataclass(frozen=True)
class Recipe:
    """One line of the registry.

    module: its file. summary: what it is, in a sentence for the reader of a table. images_alone: it trains on images
    without any text. texts: the text features that it takes, "translated" and "raw"; none if it never takes text.
    tuned: it has hyper-parameters. tuned_as: whose it takes, if not its own. redraws: it trains in epochs, so that
    images can be drawn anew each epoch. prompts: the texts are made of class names, "names" alone or "attributes"
    (names with the texts of an LLM source); images are not looked at. compared: it is a column of the comparison table,
    beside the thesis's figures; any other is a baseline, in a table of its own below.
    """

    module: str
    summary: str
    images_alone: bool = False
    texts: tuple[str, ...] = ()
    tuned: bool = True
    tuned_as: str = ""
    redraws: bool = False
    prompts: str = ""
    compared: bool = False

    @property
    def translates(self) -> bool:
        return "translated" in self.texts

    def name_table(self, source: str) -> str:
        """The name of the text table that it takes a source's texts from."""
        return source + WITH_NAMES if self.prompts == "attributes" else source

    def load(self) -> ModuleType:
        """The module that trains it; what it is made of is imported only now."""
        return importlib.import_module(f"fieldguide.adapters.recipes.{self.module}")

    def does(self, percent: int, has_text: bool, beside: bool = False) -> bool:
        """Whether there is such a cell: image only needs images, and text needs a share, unless it stands beside them.

        Texts made of class names make one cell, without images.
        """
        if not has_text:
            return self.images_alone and percent > 0
        return bool(self.texts) and (percent == 0 if self.prompts else beside or percent < 100)


RECIPES: Mapping[str, Recipe] = {
    "thesis": Recipe(
        "thesis",
        "one linear layer from a random start, cross-entropy on the mix of images and translated texts by AdamW.",
        images_alone=True,
        texts=("translated",),
        redraws=True,
        compared=True,
    ),
    # What regularises images is chosen on images alone, so that text can do no harm by way of the tuning.
    "anchored": Recipe(
        "anchored",
        "softmax regression on whitened images, with as much of the texts as the cell's own images bear out.",
        texts=("translated", "raw"),
        tuned_as="anchored-image-only",
        compared=True,
    ),
    "anchored-image-only": Recipe(
        "anchored", "the anchored recipe without text: its control.", images_alone=True, compared=True
    ),
    "zs-name": Recipe("zero_shot", "zero-shot by class names.", texts=("raw",), tuned=False, prompts="names"),
    "zs-name+attributes": Recipe(
        "zero_shot", "zero-shot by names with the LLM's texts.", texts=("raw",), tuned=False, prompts="attributes"
    ),
    "zs-text": Recipe("zero_shot", "zero-shot by the cell's own texts as they are.", texts=("raw",), tuned=False),
    "zs-translated": Recipe(
        "zero_shot", "zero-shot by the cell's own texts, translated.", texts=("translated",), tuned=False
    ),
    "nearest-class-mean": Recipe(
        "class_mean",
        "the class whose mean of images and translated texts has the largest cosine.",
        images_alone=True,
        texts=("translated",),
        tuned=False,
    ),
    "tip-adapter": Recipe("tip_adapter", "zero-shot by raw texts with a cache of images beside it.", texts=("raw",)),
    "tip-adapter-f": Recipe("tip_adapter_f", "tip-adapter whose cached images are trained.", texts=("raw",)),
    "proker": Recipe(
        "proker", "zero-shot by raw texts with kernel ridge regression of its errors on the images.", texts=("raw",)
    ),
    "clap": Recipe(
        "clap",
        "a linear layer from the zero-shot start, each class held near it by how well zero-shot does on its images.",
        texts=("raw",),
    ),
    "lp++": Recipe(
        "lp_plus_plus", "a linear layer that learns how much of each class's raw text to blend in.", texts=("raw",)
    ),
    "zs-text+gda": Recipe(
        "zero_shot_gda",
        "zero-shot by raw texts with linear discriminant analysis of the images, by one weight.",
        texts=("raw",),
    ),
    "gda": Recipe(
        "gda",
        "linear discriminant analysis of the images, added to zero-shot by raw texts.",
        images_alone=True,
        texts=("raw",),
    ),
    "logistic-regression": Recipe(
        "logistic_regression",
        "scikit-learn's on the mix of images and translated texts.",
        images_alone=True,
        texts=("translated",),
    ),
    "cross-modal": Recipe(
        "cross_modal",
        "a linear layer from the zero-shot start; batches are half images, half raw texts.",
        texts=("raw",),
    ),
}
