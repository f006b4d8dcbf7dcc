"""What can be asked for: the cells, tables, figures and translators that a configuration names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fieldguide.adapters.recipes.registry import NAMES, RECIPES
from fieldguide.adapters.settings import Variant
from fieldguide.workflow.config import Config
from fieldguide.workflow.layout import Layout


@dataclass(frozen=True)
class Targets:
    """Lists of result files, by the table or figure that they are made for."""

    layout: Layout

    @property
    def config(self) -> Config:
        return self.layout.config

    # ---------------------------------------------------------------- cells

    def recipe_cells(self, recipe: str, variant: Variant, ratios: Iterable[int] | None = None) -> list[str]:
        """The cells of a recipe in a variant: image only needs images, a text source needs a share of text.

        Features computed elsewhere come without the encoder that class names need. ratios: those of the table, if not
        given.
        """
        if RECIPES[recipe].prompts and self.config.dataset.kind == "features":
            return []
        prompts = {
            "": list(variant.sources),
            "names": [NAMES],
            "attributes": [
                source for source in self.layout.sources if self.config.texts[self.config.origin(source)].kind == "llm"
            ],
        }
        return [
            self.layout.cell(
                self.config.sweep.translator,
                source,
                variant.sampling,
                variant.redraw,
                ratio,
                recipe,
                variant.budget,
                variant.amount,
                variant.texts,
            )
            for source in prompts[RECIPES[recipe].prompts]
            for ratio in (self.config.sweep.ratios if ratios is None else ratios)
            if RECIPES[recipe].does(ratio, source != "none", variant.texts == "all")
        ]

    @cached_property
    def cells(self) -> list[str]:
        """The cells of the table."""
        sweep, first = self.config.sweep, self.config.sweep.variants[0]
        of_variants = [
            cell
            for variant in sweep.variants
            for recipe in variant.recipes
            for cell in self.recipe_cells(recipe, variant)
        ]
        text_only = [
            self.layout.cell(
                translator, source, first.sampling, first.redraw, 0, budget=first.budget, amount=first.amount
            )
            for translator in sweep.text_only_translators
            for source in first.sources
            if source != "none"
        ]
        # Variants that differ in `texts` share what has no image or no text.
        return list(dict.fromkeys(of_variants + text_only))

    @cached_property
    def controlled_cells(self) -> list[str]:
        """The cells of the table, and of controls what `everything` adds to them where their own text has a cell."""
        controls, first = self.config.sweep.controls, self.config.sweep.variants[0]
        variant = first.model_copy(update={"sources": self.config.added_controls})
        ratios = [ratio for ratio in self.config.sweep.ratios if ratio in controls.ratios]
        # Prompts are made of class names, whatever the source.
        recipes = [name for name in first.recipes if name in controls.recipes and not RECIPES[name].prompts]
        added = [cell for recipe in recipes for cell in self.recipe_cells(recipe, variant, ratios)]
        return list(dict.fromkeys([*self.cells, *added]))

    @cached_property
    def controlled_correctness(self) -> list[str]:
        """Which test images they name rightly."""
        return [str(Path(cell).with_suffix(".correct.safetensors")) for cell in self.controlled_cells]

    @cached_property
    def weights(self) -> list[str]:
        """The weights that they keep."""
        return [str(Path(cell).with_suffix(".safetensors")) for cell in self.cells]

    @cached_property
    def correctness(self) -> list[str]:
        """Which test images they name rightly."""
        return [str(Path(cell).with_suffix(".correct.safetensors")) for cell in self.cells]

    @cached_property
    def study_cells(self) -> list[str]:
        """The cells of the sampling study: every combination, image only and with each text source of the table."""
        study = self.config.sampling_study
        return [
            self.layout.cell(
                self.config.sweep.translator, source, sampling, redraw, ratio, budget=budget, amount=amount
            )
            for sampling in study.samplings
            for redraw in study.redraws
            for budget, amount in study.budgets
            for source in ["none", *(s for s in self.layout.sources if s == self.config.origin(s))]
            for ratio in study.ratios
            if (ratio > 0 if source == "none" else ratio < 100)
        ]

    @cached_property
    def compared_cells(self) -> list[str]:
        """The first variant's cells of every recipe and baseline, to stand side by side."""
        first = self.config.sweep.variants[0]
        recipes = [*first.recipes, *self.config.sweep.baselines]
        return [cell for recipe in recipes for cell in self.recipe_cells(recipe, first)]

    @cached_property
    def compared_correctness(self) -> list[str]:
        """Which test images they name rightly."""
        return [str(Path(cell).with_suffix(".correct.safetensors")) for cell in self.compared_cells]

    @cached_property
    def calibrated_cells(self) -> list[str]:
        """The cells that `fieldguide classify` is made ready for: of the table, and those compared with its recipes."""
        return list(dict.fromkeys([*self.cells, *self.compared_cells]))

    @cached_property
    def calibrated_plans(self) -> list[str]:
        """The plans of those cells."""
        variants = self.config.sweep.variants
        return [self.layout.plan(sampling) for sampling in sorted({variant.sampling for variant in variants})]

    @cached_property
    def calibrations(self) -> list[str]:
        """What their logits become probabilities by."""
        return [str(Path(cell).with_suffix(".calibration.json")) for cell in self.calibrated_cells]

    @cached_property
    def cards(self) -> list[str]:
        """What they were trained on, in words."""
        return [str(Path(cell).with_suffix(".md")) for cell in self.calibrated_cells]

    @cached_property
    def probed_cells(self) -> list[str]:
        """The cells of images alone that logistic regression is compared with."""
        return [self.layout.cell("none", "none", "class-wise", "fixed", ratio) for ratio in (100, 10)]

    @cached_property
    def conversion_cells(self) -> list[str]:
        """The cells by which translators are compared: an even mix, text alone, and zero-shot, with every source."""
        first = self.config.sweep.variants[0]
        return [
            self.layout.cell(translator, source, first.sampling, "fixed", ratio, recipe, first.budget, first.amount)
            for translator in self.compared_translators
            for source in self.layout.sources
            for recipe, ratio in (("thesis", 50), ("thesis", 0), ("zs-translated", 0))
        ]

    # ---------------------------------------------------------------- translators

    @cached_property
    def compared_translators(self) -> list[str]:
        """The translators whose conversion accuracy is measured, that of the table among them; none without pairs."""
        compared = self.config.conversion.translators if self.config.dataset.kind != "features" else ()
        return list(dict.fromkeys([*compared, self.config.sweep.translator])) if compared else []

    def used_translators(self, rule: str) -> list[str]:
        """The translators that a rule fits, of those that any table names."""
        sweep = self.config.sweep
        used = {sweep.translator, *sweep.text_only_translators, *self.compared_translators}
        return [name for name in self.layout.translators_of(rule) if name in used]

    # ---------------------------------------------------------------- tables and figures

    @cached_property
    def conversion_measures(self) -> list[str]:
        return [self.layout.conversion(name) for name in self.compared_translators]

    @cached_property
    def conversion_tables(self) -> list[str]:
        """The conversion tables and figures, where translators are compared."""
        names = ["conversion.csv", "conversion.md", "conversion_fields.csv", "conversion_fields.md"]
        names += ["conversion_classes.csv", "conversion_words.csv"]
        tables = [self.layout.table(name) for name in names]
        figures = [self.layout.figure(name) for name in ("conversion.svg", "conversion_pca.svg")]
        return [*tables, *figures] if self.compared_translators else []

    @cached_property
    def tables(self) -> list[str]:
        """The comparison table in every format, and its figure."""
        names = [f"accuracy.{ending}" for ending in ("csv", "md", "tex", "html")]
        names += ["differences.csv", "image_worth.csv", "image_worth.md"]
        return [*map(self.layout.table, names), self.layout.figure("accuracy.svg")]

    @cached_property
    def extras(self) -> list[str]:
        """What `everything` adds to the comparison table."""
        names = ["probe.csv", "recipes.csv", "sampling.csv", "sampling.md"]
        # Features computed elsewhere come without token features, which a Q-Former reads.
        trained = self.used_translators("train_qformer") if self.config.dataset.kind != "features" else []
        curves = [self.layout.translator(name, "curve.svg") for name in trained]
        birds = [self.layout.figure("birds.png")] if self.layout.is_aviary else []
        return [*map(self.layout.table, names), *curves, *self.conversion_tables, *self.calibrations, *birds]

    @cached_property
    def control_tables(self) -> list[str]:
        """Text sources beside their controls, where there are cells of both."""
        names = ("controls.csv", "controls.md") if self.layout.controls else ()
        return [self.layout.table(name) for name in names]

    @cached_property
    def report_tables(self) -> list[str]:
        """The tidy tables that the report shows: all that `everything` makes, and those by class."""
        made = [
            path
            for path in [*self.tables, *self.extras, *self.control_tables]
            if path.startswith(self.layout.table(""))
        ]
        by_class = [self.layout.table("classes.csv"), self.layout.table("confusions.csv")]
        return [path for path in made if path.endswith(".csv")] + by_class

    @cached_property
    def typeset_tables(self) -> list[str]:
        """Those of them that are typeset for LaTeX; the comparison table is typeset where it is made."""
        names = ("recipes.csv", "image_worth.csv", "conversion.csv")
        return [table for table in [*self.tables, *self.extras] if Path(table).name in names]

    @cached_property
    def typeset(self) -> list[str]:
        """What they become."""
        return [str(Path(table).with_suffix(".tex")) for table in self.typeset_tables]

    @cached_property
    def text_tables(self) -> list[str]:
        """The text tables of the table's sources."""
        return [self.layout.texts(source) for source in self.layout.sources]
