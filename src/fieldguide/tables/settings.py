"""The configuration of what is tabulated beside the comparison table, and the settings of the stages that tabulate."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from fieldguide.adapters.settings import Budget, Redraw, Sampling
from fieldguide.core.settings import Count, Name, Ratio, Section, Seed, refuse_repeats


class SamplingStudy(Section):
    """Which sampling, redraw and budget explain the published figures: every combination that is tried."""

    ratios: tuple[Ratio, ...] = Field(min_length=1, description="The ratios at which combinations are compared.")
    samplings: tuple[Sampling, ...] = Field(min_length=1, description="The samplings tried.")
    redraws: tuple[Redraw, ...] = Field(
        min_length=1,
        description="The redraws tried. With both, images drawn anew in the image-only column alone are scored too, "
        "from the same cells.",
    )
    steps: tuple[Count, ...] = Field(description="The budgets tried in optimiser steps; may be empty.")
    epochs: tuple[Count, ...] = Field(
        description="The budgets tried in epochs over the cell's own training set; may be empty."
    )
    tolerance: Annotated[float, Field(gt=0)] = Field(
        description="A combination explains a study when no column's root-mean-square error is above this many points."
    )

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
    """How accurately translators turn texts into images, for `tables/conversion.*` of `everything`."""

    translators: tuple[Name, ...] = Field(
        description="The translators compared, by name; that of `sweep.translator` is always among them. An empty "
        "list: no such tables."
    )
    classes: Count = Field(description="Classes shown in `figures/conversion_pca.svg`.")

    no_repeats = field_validator("translators")(refuse_repeats)


class Heading(Section):
    """What stands above a table or below a figure."""

    dataset: str = Field(description="its name")
    notes: tuple[str, ...] = Field(default=(), description="sentences on it")

    @field_validator("notes")
    @classmethod
    def leave_out_empty(cls, notes: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(note for note in notes if note)


class ControlsSettings(Heading):
    """What tabulate_controls takes."""

    controls: dict[Name, tuple[Name, str]] = Field(
        default_factory=dict, description="by the name of a control: the source that it is of, and its kind"
    )


class PublishedSettings(Section):
    """What select_published takes."""

    sources: dict[Name, str] = Field(
        default_factory=dict,
        description="text sources that stand in the place of a study's, and what the study calls it",
    )


class ScoreSettings(Heading):
    """What score_sampling takes."""

    tolerance: Annotated[float, Field(gt=0)] = Field(description="points that a column may be off, root mean square")


class ClassSettings(Section):
    """What predict_classes takes."""

    pairs: Count = Field(default=20, description="confused pairs that are listed of a cell")


class ProbeSettings(Section):
    """What probe_features takes."""

    seeds: tuple[Seed, ...] = Field(min_length=1, description="seeds of the cells' plans")
    c: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(1, 3, 10, 30, 100, 300, 1000), min_length=1, description="values of C to try"
    )


class ConversionTable(Heading):
    """What tabulate_conversion takes."""

    translator: Name = Field(description="the translator whose classes and words the Markdown shows")


class ConversionFigure(Section):
    """What plot_conversion takes."""

    translator: Name = Field(description="what translated the texts, for the heading")
    classes: Count = Field(default=4, description="classes drawn in the plot of principal components")
