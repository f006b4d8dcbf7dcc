"""The configuration of adapters and of the sweep over cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator, model_validator

from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.core.settings import Count, Name, Ratio, Section, Seed, refuse_repeats

if TYPE_CHECKING:
    RecipeName = str
else:
    RecipeName = Literal[tuple(RECIPES)]
Sampling = Literal["class-wise", "global"]
Redraw = Literal["fixed", "per-epoch"]
Budget = Literal["steps", "epochs"]


def refuse_redraw(recipes: tuple[str, ...], redraw: str) -> None:
    """Only a recipe that trains in epochs can draw its images anew in each."""
    if redraw != "fixed" and (stiff := [name for name in recipes if not RECIPES[name].redraws]):
        raise ValueError(f"recipe '{stiff[0]}' has no epochs: it needs redraw: fixed")


class AdapterSettings(Section):
    budget: Budget
    amount: Count
    batch: Count
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)
    weight_decays: tuple[Annotated[float, Field(ge=0)], ...] = Field(min_length=1)
    validation: Annotated[float, Field(gt=0, lt=1)]
    tuning_seeds: Count


class Variant(Section):
    sampling: Sampling
    redraw: Redraw
    recipes: tuple[RecipeName, ...] = Field(default=("thesis",), min_length=1)
    sources: tuple[Name, ...] = Field(min_length=1)
    budget: Budget | None = None
    amount: Count | None = None

    no_repeats = field_validator("sources", "recipes")(refuse_repeats)

    @model_validator(mode="after")
    def recipes_redraw(self) -> Variant:
        refuse_redraw(self.recipes, self.redraw)
        return self

    @model_validator(mode="after")
    def a_budget_has_an_amount(self) -> Variant:
        if self.budget and not self.amount:
            raise ValueError(f"budget is {self.budget} without amount; say how many {self.budget}")
        return self


class Sweep(Section):
    ratios: tuple[Ratio, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(min_length=1)
    translator: Name
    text_only_translators: tuple[Name, ...] = ()
    variants: tuple[Variant, ...] = Field(min_length=1)
    baselines: tuple[RecipeName, ...] = ()

    no_repeats = field_validator("ratios", "seeds", "text_only_translators", "baselines")(refuse_repeats)

    @model_validator(mode="after")
    def baselines_have_a_place(self) -> Sweep:
        first = self.variants[0]
        refuse_redraw(self.baselines, first.redraw)
        if twice := [name for name in self.baselines if name in first.recipes]:
            raise ValueError(f"baselines: '{twice[0]}' is among the first variant's recipes already")
        return self

    @model_validator(mode="after")
    def recipes_have_cells(self) -> Sweep:
        for number, variant in enumerate(self.variants):
            for name in variant.recipes:
                recipe = RECIPES[name]
                if not any(recipe.does(ratio, s != "none") for ratio in self.ratios for s in variant.sources):
                    needs = ["the source none and a ratio above 0"] if recipe.images_alone else []
                    needs += [f"a text source and ratio {0 if recipe.prompts else 'below 100'}"] if recipe.texts else []
                    raise ValueError(
                        f"variants.{number}: recipe '{name}' has no cell with sources {', '.join(variant.sources)} "
                        f"and ratios {', '.join(map(str, self.ratios))}; it needs {' or '.join(needs)}"
                    )
        return self


class Threads(Section):
    encode: Count
    translator: Count
    adapter: Count
