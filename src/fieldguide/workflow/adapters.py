"""Arguments of the jobs that plan, tune and train adapters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fieldguide.adapters.recipes.registry import RAW, RECIPES, WITH_NAMES
from fieldguide.workflow.jobs import Jobs


class AdapterJobs(Jobs):
    """For rules/adapters.smk."""

    def code_of(self, module: str) -> Callable[[Any], str]:
        """A params function: the hash of a stage with the module of the job's recipe."""
        return lambda wildcards: self.code(module, f"adapters.recipes.{RECIPES[wildcards.recipe].module}")

    def budget(self, wildcards: Any) -> str:
        """A cell's budget and its amount, as the adapter stages take them: `epochs-100`, or the adapter's own."""
        budget, _, amount = wildcards.budget.partition("-")
        return f"--budget {budget} --amount {amount or self.config.adapter.amount}"

    # ---------------------------------------------------------------- texts

    def source_files(self, translator: str, source: str, recipe: str) -> list[str]:
        """A source's text table, its translated features and its raw ones, as far as the recipe reads them."""
        texts = source + WITH_NAMES if RECIPES[recipe].prompts == "attributes" else source
        translated = self.layout.translated(translator, texts) if RECIPES[recipe].translates else ""
        raw = [self.layout.translated(RAW, texts)] if "raw" in RECIPES[recipe].texts else []
        return [self.layout.texts(texts), translated, *raw]

    def source_option(self, translator: str, source: str, recipe: str) -> str:
        """NAME=TABLE=TRANSLATED=RAW, as the adapter stages take a text source; a unit that its table lacks is named."""
        unit = getattr(self.config.texts.get(source), "unit", "")
        name = f"{source}:reply" if unit == "reply" else source
        return "--source " + "=".join([name, *self.source_files(translator, source, recipe)])

    def tuning_sources(self, wildcards: Any) -> list[str]:
        """The text sources that tuning a recipe looks at: all of the table, or none."""
        return self.layout.sources if RECIPES[wildcards.recipe].texts else []

    def tuning_texts(self, wildcards: Any) -> list[str]:
        """Their files."""
        names = self.tuning_sources(wildcards)
        files = [self.source_files(wildcards.translator, name, wildcards.recipe) for name in names]
        return [file for of_source in files for file in of_source if file]

    def tuning_source_options(self, wildcards: Any) -> str:
        """The options that name them."""
        names = self.tuning_sources(wildcards)
        return " ".join(self.source_option(wildcards.translator, name, wildcards.recipe) for name in names)

    def cell_texts(self, wildcards: Any) -> list[str]:
        """The files of a cell's text source; none for image only."""
        if wildcards.source == "none":
            return []
        files = self.source_files(wildcards.translator, wildcards.source, wildcards.recipe)
        return [file for file in files if file]

    def cell_source_option(self, wildcards: Any) -> str:
        """The option that names a cell's text source; none for image only."""
        if wildcards.source == "none":
            return ""
        return self.source_option(wildcards.translator, wildcards.source, wildcards.recipe)

    # ---------------------------------------------------------------- tuning

    def tuning(self, wildcards: Any) -> list[str]:
        """The file of a cell's hyper-parameters; none for a recipe that has none."""
        recipe = RECIPES[wildcards.recipe].tuned_as or wildcards.recipe
        path = self.layout.tuning(self.config.sweep.translator, recipe, wildcards.budget)
        return [path] if RECIPES[recipe].tuned else []

    def tuning_option(self, wildcards: Any) -> str:
        """The option that names it."""
        return " ".join(f"--tuning {path}" for path in self.tuning(wildcards))
