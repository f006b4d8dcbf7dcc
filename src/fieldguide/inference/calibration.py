"""From a classifier's logits to probabilities: temperature scaling, and what it rests on. Pure but for its own file.

Recipes end in logits of different scales: those of a softmax regression are log odds, those of zero-shot are cosines.
Guo et al., On calibration of modern neural networks, ICML 2017: probabilities are softmax(logits / T), with the one
number T that makes the labels of images likeliest that the classifier was not trained on. T changes no prediction.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fieldguide.core.arrays import Doubles, Floats, Ints
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_json, write_json

RANGE = (1e-4, 1e4)
"""Temperatures that are looked among."""
UNKNOWN = -1e20
"""A logit below it says that the classifier knows no example of the class."""
ENDING = ".calibration.json"
"""What the name of a cell's calibration ends in, beside its weights."""


class Calibration(BaseModel):
    """A cell's temperature, with the images that it was fitted to and what they say; percent, points."""

    model_config = ConfigDict(frozen=True)

    temperature: float = Field(gt=0)
    held_out_images: int = Field(ge=0, description="training images that the classifier was not trained on")
    held_out_accuracy: float | None = Field(default=None, description="accuracy on them, percent")
    calibration_error: float | None = Field(default=None, description="expected calibration error there, points")

    @classmethod
    def path(cls, weights: Path) -> Path:
        """Where the calibration of a weights file lies: beside it."""
        return weights.with_suffix(ENDING)

    def write(self, path: Path) -> None:
        write_json(path, self.model_dump(exclude_none=True))

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Raises FieldguideError where the file is none."""
        try:
            return cls.model_validate(read_json(path))
        except ValidationError:
            raise FieldguideError(
                f"{path}: is not the calibration of a cell; delete it to have it made again"
            ) from None

    @classmethod
    def of(cls, logits: Floats, labels: Ints, images: int) -> Calibration:
        """The calibration by logits (M, C) of images with labels (M,) that the classifier was not trained on.

        images: how many of them one run was asked about.
        """
        temperature = round(fit_temperature(logits, labels), 6)
        return cls(
            temperature=temperature,
            held_out_images=images,
            held_out_accuracy=round(float((logits.argmax(1) == labels).mean() * 100), 6),
            calibration_error=round(calibration_error(softmax(logits, temperature), labels), 6),
        )


UNCALIBRATED = Calibration(temperature=1.0, held_out_images=0)
"""Of a cell whose training images are too few to leave any out."""


def softmax(logits: Floats | Doubles, temperature: float = 1.0) -> Doubles:
    """Probabilities (..., C) of logits (..., C)."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(-1, keepdims=True))
    found: Doubles = exponentials / exponentials.sum(-1, keepdims=True)
    return found


def fit_temperature(logits: Floats, labels: Ints) -> float:
    """The temperature of logits (M, C) of images with labels (M,) that the classifier was not trained on.

    The negative log-likelihood is convex in 1 / T, so its slope is bisected. Labels are smoothed as Platt (1999) has
    it, by 1 / (M + 2): a few images that are all right would make the classifier infinitely sure. Images of a class
    that the classifier knows no example of are left out; without any image the temperature is 1.
    """
    known = logits[np.arange(len(labels)), labels] > UNKNOWN
    z, labels = logits[known].astype(np.float64), labels[known]
    if not len(z):
        return 1.0
    z = z - z.max(1, keepdims=True)
    right = z[np.arange(len(z)), labels]
    mean = np.where(z > UNKNOWN, z, 0).sum(1) / (z > UNKNOWN).sum(1)
    smoothing = 1 / (len(z) + 2)
    target = ((1 - smoothing) * right + smoothing * mean).mean()

    def slope(inverse: float) -> float:
        weights = np.exp(inverse * z)
        weights /= weights.sum(1, keepdims=True)
        return float((weights * np.where(z > UNKNOWN, z, 0)).sum(1).mean() - target)

    low, high = (math.log(1 / bound) for bound in reversed(RANGE))
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(math.exp(middle)) > 0 else (middle, high)
    return math.exp(-(low + high) / 2)


def calibration_error(probabilities: Doubles, labels: Ints, bins: int = 10) -> float:
    """Expected calibration error in percent: how far the sureness of predictions is from how often they are right.

    The mean over `bins` equal ranges of the highest probability, weighted by how many of the images (M,) lie in each.
    """
    sure, right = probabilities.max(-1), probabilities.argmax(-1) == labels
    bin_of = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [abs(sure[bin_of == b].sum() - right[bin_of == b].sum()) for b in range(bins)]
    return float(100 * sum(gaps) / max(len(labels), 1))
