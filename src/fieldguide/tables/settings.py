"""The configuration of what is tabulated beside the comparison table."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from fieldguide.adapters.settings import Budget, Redraw, Sampling
from fieldguide.core.settings import Count, Name, Ratio, Section, refuse_repeats


class SamplingStudy(Section):
    ratios: tuple[Ratio, ...] = Field(min_length=1)
    samplings: tuple[Sampling, ...] = Field(min_length=1)
    redraws: tuple[Redraw, ...] = Field(min_length=1)
    steps: tuple[Count, ...]
    epochs: tuple[Count, ...]
    tolerance: Annotated[float, Field(gt=0)]

    no_repeats = field_validator("ratios", "samplings", "redraws", "steps", "epochs")(refuse_repeats)

    @model_validator(mode="after")
    def some_budget(self) -> SamplingStudy:
        if not self.steps and not self.epochs:
            raise ValueError("neither steps nor epochs names a budget to try")
        return self

    @property
    def budgets(self) -> list[tuple[Budget, int]]:
        """Every budget that is tried, with its amount."""
        return [("steps", amount) for amount in self.steps] + [("epochs", amount) for amount in self.epochs]


class Conversion(Section):
    translators: tuple[Name, ...]
    classes: Count

    no_repeats = field_validator("translators")(refuse_repeats)
