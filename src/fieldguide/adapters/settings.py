"""The configuration of adapters and of the sweep over cells, and the settings of this package's stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

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
TextPlan = Literal["replaced", "all"]
Tune = Literal["once", "per-ratio", "within-cell"]


RATIOS = (100, 50, 10, 0)
"""Those at which hyper-parameters are tried, where nothing else is said."""


def refuse_redraw(recipes: tuple[str, ...], redraw: str) -> None:
    """Only a recipe that trains in epochs can draw its images anew in each."""
    if redraw != "fixed" and (without_epochs := [name for name in recipes if not RECIPES[name].redraws]):
        raise ValueError(f"recipe '{without_epochs[0]}' has no epochs: it needs redraw: fixed")


class Training(Section):
    """How long a recipe trains that takes optimiser steps; closed forms and solvers that converge do not look at it."""

    budget: Budget = Field(
        description="What is equal in all cells: `steps`, or `epochs` over the cell's own training set."
    )
    amount: Count = Field(description="Number of optimiser steps, or of epochs.")
    batch: Count = Field(description="Examples per step.")


class AdapterSettings(Training):
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        min_length=1,
        description="Each with each of `weight_decays` is a trial of the thesis's recipe, and other recipes have as "
        "many trials. Which of them is used says `sweep.tune`.",
    )
    weight_decays: tuple[Annotated[float, Field(ge=0)], ...] = Field(min_length=1, description="See `learning_rates`.")
    validation: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="Share of each class's training images that is held out for the choice; the final fit uses all."
    )
    tuning_seeds: Count = Field(description="Seeds averaged per trial.")


class Variant(Section):
    sampling: Sampling = Field(
        description="Which images are kept: `class-wise`, the same share of every class, or `global`, drawn from all."
    )
    redraw: Redraw = Field(
        description="When images and texts are drawn: `fixed`, once per seed, or `per-epoch`, anew in every epoch."
    )
    recipes: tuple[RecipeName, ...] = Field(
        default=("thesis",), min_length=1, description="How adapters are trained: recipes and baselines by name."
    )
    sources: tuple[Name, ...] = Field(min_length=1, description="Text sources by name; `none` is image only.")
    texts: TextPlan = Field(
        default="replaced",
        description="Which texts a cell has: `replaced`, one for each image that is left out, as in the thesis; or "
        "`all`, one for each training image, beside the images that stay, so that 100% of the images with all texts is "
        "a cell too. Without images both are one cell.",
    )
    budget: Budget | None = Field(
        default=None,
        description="A budget of the variant's own, which needs its `amount`. Its cells lie under `epochs-100/`, and "
        "hyper-parameters are chosen for that budget.",
    )
    amount: Count | None = Field(default=None, description="An amount of the variant's own.")

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


class ControlCells(Section):
    """The cells that controls have in `everything` alone."""

    sources: tuple[Name, ...] = Field(
        default=(),
        description="Text sources of kind `control` that stand in `tables/controls.md` and in no other table. One "
        "whose own source the first variant lacks is left out.",
    )
    recipes: tuple[RecipeName, ...] = Field(
        default=("anchored",), description="Their recipes, of those of the first variant; others are left out."
    )
    ratios: tuple[Ratio, ...] = Field(
        default=(30, 10, 0), description="Their ratios, of those of the table; others are left out."
    )

    no_repeats = field_validator("sources", "recipes", "ratios")(refuse_repeats)


class Sweep(Section):
    ratios: tuple[Ratio, ...] = Field(
        min_length=1,
        description="Percent of the training set that is images; whole numbers, 0 to 100. Image only skips 0, text "
        "sources skip 100, unless a variant's `texts` are `all`.",
    )
    seeds: tuple[Seed, ...] = Field(min_length=1, description="Shared by all cells, so that differences are paired.")
    translator: Name = Field(description="The translator of the table.")
    tune: Tune = Field(
        default="once",
        description="With which labels hyper-parameters are chosen. `once`: for all cells, by the mean accuracy on a "
        "held-out part of all training images over ratios 100, 50, 10 and 0. `per-ratio`: the same for each ratio by "
        "itself. `within-cell`: for each cell and seed, by cross-validation over the cell's own images.",
    )
    text_only_translators: tuple[Name, ...] = Field(default=(), description="Further translators, compared at ratio 0.")
    variants: tuple[Variant, ...] = Field(
        min_length=1,
        description="What the table compares: a list of `{sampling, redraw, recipes, sources}`, each with all ratios "
        "and seeds. A variant may name an `amount`, or a `budget` with its `amount`, of its own: "
        "`{…, budget: epochs, amount: 100}`.",
    )
    baselines: tuple[RecipeName, ...] = Field(
        default=(),
        description="Recipes that `everything` adds for the first variant and sets beside its own in "
        "`tables/recipes.md`.",
    )

    controls: ControlCells = Field(
        default=ControlCells(),
        description="What `everything` adds to the first variant to hold its text sources against.",
    )
    leave_out: tuple[Name, ...] = Field(
        default=(),
        description="Text sources whose columns are left out, as if no variant named them: an LLM, say, that cannot "
        "be asked.",
    )

    no_repeats = field_validator("ratios", "seeds", "text_only_translators", "baselines", "leave_out")(refuse_repeats)

    @model_validator(mode="before")
    @classmethod
    def sources_are_left_out(cls, values: Any) -> Any:
        """The variants without the sources left out, and without those that then have none."""
        variants = values.get("variants") if isinstance(values, dict) else None
        left_out = values.get("leave_out") if isinstance(values, dict) else None
        if not (isinstance(variants, list | tuple) and isinstance(left_out, list | tuple) and left_out):
            return values
        kept = []
        for variant in variants:
            sources = variant.get("sources") if isinstance(variant, dict) else None
            if isinstance(sources, list | tuple):
                remaining = [source for source in sources if source not in left_out]
                if not remaining and sources:
                    continue
                variant = {**variant, "sources": remaining}
            kept.append(variant)
        if variants and not kept:
            raise ValueError("leave_out leaves no variant any source")
        return {**values, "variants": kept}

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
                beside = variant.texts == "all"
                if not any(recipe.does(r, s != "none", beside) for r in self.ratios for s in variant.sources):
                    needs = ["the source none and a ratio above 0"] if recipe.images_alone else []
                    needs += [f"a text source and ratio {0 if recipe.prompts else 'below 100'}"] if recipe.texts else []
                    raise ValueError(
                        f"variants.{number}: recipe '{name}' has no cell with sources {', '.join(variant.sources)} "
                        f"and ratios {', '.join(map(str, self.ratios))}; it needs {' or '.join(needs)}"
                    )
        return self


class Threads(Section):
    """Part of the experiment: sums taken in another order differ in their last bits."""

    encode: Count = Field(description="Numeric threads of one job that encodes images or texts.")
    translator: Count = Field(description="Numeric threads of one job that fits or runs a translator.")
    adapter: Count = Field(description="Numeric threads of one job that tunes or trains adapters.")


# ---------------------------------------------------------------- settings of the stages

REPLIES = "Text sources of which each whole reply of an LLM is one text."


class CellSettings(Training):
    """All that decides a cell beside its files: the argument of train_adapter."""

    ratio: Ratio
    redraw: Redraw = "fixed"
    recipe: RecipeName = "thesis"
    texts: TextPlan = Field(default="replaced", description="In the places of images left out, or of `all` images.")
    translator: Name = Field(default="none", description="Name of the translator that made the features of the texts.")
    seeds: tuple[Seed, ...] = Field(min_length=1)
    dataset: str = Field(default="", description="Name of the data set, for the weights' file and the card.")
    replies: tuple[Name, ...] = Field(default=(), description=REPLIES)
    tune: Tune = Field(default="once", description="`within-cell` chooses among the trials below.")
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = ()
    weight_decays: tuple[Annotated[float, Field(ge=0)], ...] = ()

    no_repeats = field_validator("seeds")(refuse_repeats)

    @model_validator(mode="after")
    def trials_to_choose_from(self) -> CellSettings:
        if self.tune == "within-cell" and not (self.learning_rates and self.weight_decays):
            raise ValueError("tune is within-cell without learning_rates and weight_decays; say what is tried")
        return self

    @model_validator(mode="after")
    def recipe_redraws(self) -> CellSettings:
        refuse_redraw((self.recipe,), self.redraw)
        return self


class TuningSettings(AdapterSettings):
    """All that decides a tuning beside its files: the argument of tune_adapter."""

    recipe: RecipeName = "thesis"
    replies: tuple[Name, ...] = Field(default=(), description=REPLIES)
    tune: Literal["once", "per-ratio"] = "once"
    ratios: tuple[Ratio, ...] = Field(
        default=RATIOS,
        min_length=1,
        description="`once` takes the mean accuracy over these, `per-ratio` chooses for each of them.",
    )

    @model_validator(mode="after")
    def there_is_a_choice(self) -> TuningSettings:
        if not RECIPES[self.recipe].tuned:
            raise ValueError(f"recipe {self.recipe} has nothing to choose; it needs no tuning")
        return self


class PlanSettings(Section):
    """All that decides a plan beside the images: the argument of plan_images."""

    sampling: Sampling
    seeds: tuple[Seed, ...] = Field(min_length=1)
