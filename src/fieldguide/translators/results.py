"""A translator's conversion accuracy: written by `measure_conversion`, read by everything that makes a table of it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_json, write_json

HINT = "delete it to have it made again"

Measure = tuple[float, float | None]
"""A value and the half-width of its 95% interval, None where it has none."""


class Result(BaseModel):
    model_config = ConfigDict(frozen=True)


class PairMeasures(Result):
    """On pairs that no translator learnt from; `conversion.measure_pairs` says what each is."""

    captions: int
    images: int
    cosine: Measure
    control: Measure
    recall_1: Measure
    recall_5: Measure
    recall_10: Measure
    centred_recall_1: Measure
    centroid_distance: Measure
    covariance_distance: Measure
    variance_ratio: Measure


class TextMeasures(Result):
    """Some texts of a source among the class means of test images."""

    texts: int
    nearest_class_mean: Measure = Field(description="percent of texts whose nearest class mean is their own class's")
    cosine: Measure = Field(description="to the own class's mean")
    control: Measure = Field(description="to the means of the other classes")


class ClassMeasures(TextMeasures):
    class_id: str
    class_name: str


class FieldMeasures(TextMeasures):
    field: str


class WordMeasures(Result):
    """What goes with a text's containing a word; `conversion.WordEffect` says more."""

    word: str
    texts: int
    classes: int
    effect: float
    t: float


class SourceMeasures(TextMeasures):
    """One text source: as a whole, by class, by field and by word (the best converted first)."""

    classes: tuple[ClassMeasures, ...]
    fields: tuple[FieldMeasures, ...]
    words: tuple[WordMeasures, ...]


class ConversionResult(Result):
    """How accurately one translator turns texts into image features."""

    translator: str = Field(description="its name in the tables")
    kind: str
    backbone: str
    pairs: PairMeasures
    sources: dict[str, SourceMeasures] = Field(description="by name of the text source")

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, self.model_dump())

    @classmethod
    def read(cls, path: Path) -> ConversionResult:
        """Read a file of `measure_conversion`; raises FieldguideError naming it and what it lacks."""
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as failure:
            errors = failure.errors(include_url=False)
            keys = [".".join(map(str, error["loc"])) for error in errors if error["type"] == "missing"]
            if keys:
                raise FieldguideError(f"{path}: lacks {', '.join(keys)}; {HINT}") from None
            key = ".".join(map(str, errors[0]["loc"]))
            raise FieldguideError(f"{path}: {key + ' ' if key else ''}cannot be read; {HINT}") from None
