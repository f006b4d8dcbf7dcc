"""A trained cell's result: written by `train_adapter`, read by everything that makes a table of cells."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_json, write_json

NONE = "none"
"""The text source, and all else about texts, of a cell that trains on images only."""
HINT = "delete the file to have the cell trained again"


def _expect(wanted: str, holds: Callable[[Any], bool]) -> BeforeValidator:
    """Refuse a value with the words for what it should be."""

    def check(value: Any) -> Any:
        if not holds(value):
            raise ValueError(wanted)
        return value

    return BeforeValidator(check)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


Number = int | float
Word = Annotated[str, _expect("a word", lambda value: isinstance(value, str) and bool(value.strip()))]
Percent = Annotated[Number, _expect("a percentage", lambda value: _is_number(value) and 0 <= value <= 100)]
Seeds = Annotated[
    tuple[int, ...],
    _expect("a list of whole numbers", lambda value: all(map(_is_whole, value))),
    _expect("a list of different seeds", lambda value: _is_list(value) and 0 < len(value) == len(set(map(str, value)))),
]  # the last is checked first
Count = Annotated[int, _expect("a count", lambda value: _is_whole(value) and value >= 0)]
Settings = Annotated[dict[str, Any], _expect("names and their values", lambda value: isinstance(value, dict))]


class CellResult(BaseModel):
    """What one cell is, and what came out: the JSON file of a cell. Lists hold one value for each of `seeds`, in order.

    What a table is made of is needed; results of older versions may lack the rest, or say more.
    """

    model_config = ConfigDict(frozen=True)

    image_percent: Percent = Field(description="share of the training images that are kept")
    text_source: Word = Field(description="name of the text source; `none`: images only")
    text_percent: Percent = Field(description="share of the training images that a text stands in for, or beside")
    text_names: Word = Field(description="whether most texts name their class: named, unnamed or none")
    text_unit: Word = Field(description="what one text is: caption, field, reply or none")
    sampling: Word = Field(description="which images are kept: class-wise or global")
    redraw: Word = Field(description="when images and texts are drawn: fixed or per-epoch")
    budget: Word = Field(description="what is equal in all cells: steps or epochs")
    recipe: Word = Field(description="how it was trained: a name of `adapters.recipes.registry`")
    translator: Word = Field(description="name of the texts' translator; `none` where there is none")
    backbone: Word = Field(description="key of the encoder of its features")
    seeds: Seeds
    accuracy: tuple[Number, ...] = Field(description="on the test images, percent")
    distinct_images: tuple[Number, ...] = Field(description="different training images seen")
    distinct_texts: tuple[Number, ...] = Field(description="different texts seen")
    optimiser_steps: Count = Field(description="0 for a closed form or a solver that runs to convergence")
    examples_per_epoch: Count | None = None
    plan_sha256: str | None = Field(default=None, description="fingerprint of the images and texts it was given")
    calibration: Settings | None = None
    config: Settings | None = Field(
        default=None, description="hyper-parameters, a list where each seed has its own, batch, amount and threads"
    )
    tune: Word | None = Field(default=None, description="how they were chosen: once, per-ratio, within-cell or none")
    tuning_labels: Count | None = Field(default=None, description="labelled images that they were chosen with")
    tuning_edges: tuple[str, ...] | None = Field(default=None, description="ends of the ranges tried that they lie at")
    versions: dict[str, str] | None = Field(default=None, description="of the packages that computed it")

    @property
    def image_only(self) -> bool:
        return self.text_source == NONE

    @property
    def texts_beside(self) -> bool:
        """Whether it has the texts of all images beside those that are kept; without images there is no difference."""
        return self.image_percent + self.text_percent > 100

    @property
    def amount(self) -> int | None:
        """How many steps or epochs the budget was, where it is known."""
        return (self.config or {}).get("amount")

    @field_validator("text_percent", mode="after")
    @classmethod
    def text_fills_up(cls, value: Number, info: ValidationInfo) -> Number:
        images, source = info.data.get("image_percent"), info.data.get("text_source")
        if images is None or source is None:
            return value
        if value not in ({0, 100 - images} if source == NONE else {100, 100 - images}):
            raise ValueError("what image_percent leaves of 100, nor 100, the texts of all images")
        return 0 if source == NONE else value

    @field_validator("text_names", "text_unit", "translator", mode="after")
    @classmethod
    def images_have_no_texts(cls, value: str, info: ValidationInfo) -> str:
        # Whatever the run's configuration names for its other cells.
        return NONE if info.data.get("text_source") == NONE else value

    @field_validator("accuracy", "distinct_images", "distinct_texts", mode="before")
    @classmethod
    def one_for_each_seed(cls, value: Any, info: ValidationInfo) -> Any:
        seeds, is_accuracy = info.data.get("seeds"), info.field_name == "accuracy"
        if not _is_list(value) or (seeds is not None and len(value) != len(seeds)):
            raise ValueError(f"a list of one value for each of {len(seeds or ())} seeds")
        if not all(_is_number(v) and 0 <= v <= (100 if is_accuracy else math.inf) for v in value):
            raise ValueError("percentages" if is_accuracy else "counts")
        if info.field_name == "distinct_texts" and info.data.get("text_source") == NONE and any(value):
            raise ValueError("0, though text_source is none")
        return value

    def write(self, path: Path | str) -> None:
        """Write it as JSON, without what is not known."""
        write_json(path, self.model_dump(exclude_none=True))

    @classmethod
    def read(cls, path: Path | str) -> CellResult:
        """Read a cell's JSON; raises FieldguideError naming the file and the key that is wrong."""
        found = read_json(path)
        if not isinstance(found, dict):
            raise FieldguideError(f"{path}: not a cell (a JSON object is expected); {HINT}")
        try:
            return cls.model_validate(found)
        except ValidationError as failure:
            errors = failure.errors(include_url=False)
            if missing := [str(error["loc"][0]) for error in errors if error["type"] == "missing"]:
                raise FieldguideError(f"{path}: lacks {', '.join(missing)}; {HINT}") from None
            key = str(errors[0]["loc"][0])
            wanted = errors[0]["msg"].removeprefix("Value error, ")
            raise FieldguideError(f"{path}: {key} is {found[key]!r}, not {wanted}; {HINT}") from None
