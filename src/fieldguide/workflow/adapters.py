"""Arguments of the jobs that plan, tune, train and calibrate adapters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fieldguide.adapters.recipes.registry import RAW, RECIPES, WITH_NAMES
from fieldguide.adapters.settings import AdapterSettings, CellSettings, PlanSettings, TextChoice, TuningSettings
from fieldguide.workflow.jobs import Jobs


class AdapterJobs(Jobs):
    """For rules/adapters.smk."""

    def code_of(self, module: str) -> Callable[[Any], str]:
        """A params function: the hash of a stage with the module of the job's recipe."""
        return lambda wildcards: self.code(module, f"adapters.recipes.{RECIPES[wildcards.recipe].module}")

    # ---------------------------------------------------------------- settings

    def plan_settings(self, wildcards: Any) -> str:
        return PlanSettings(sampling=wildcards.sampling, seeds=self.config.sweep.seeds).model_dump_json()

    def adapter_settings(self, budget: str) -> dict[str, Any]:
        """The adapter's settings with a cell's budget: `epochs-100`, or the adapter's own."""
        kind, _, amount = budget.partition("-")
        own = self.config.adapter
        return {**AdapterSettings.model_dump(own), "budget": kind, "amount": int(amount or own.amount)}

    def text_choice(self, source: str) -> TextChoice:
        """A source with its unit, where its table does not tell it."""
        unit = getattr(self.config.texts.get(source), "unit", "")
        return TextChoice(name=source, unit="reply" if unit == "reply" else "")

    def tuning_settings(self, wildcards: Any) -> str:
        return TuningSettings(
            **self.adapter_settings(wildcards.budget),
            recipe=wildcards.recipe,
            sources=tuple(map(self.text_choice, self.tuning_sources(wildcards))),
        ).model_dump_json()

    def cell_settings(self, wildcards: Any) -> str:
        training = self.adapter_settings(wildcards.budget)
        return CellSettings(
            **{key: training[key] for key in ("budget", "amount", "batch")},
            ratio=int(wildcards.ratio),
            redraw=wildcards.redraw,
            recipe=wildcards.recipe,
            source=None if wildcards.source == "none" else self.text_choice(wildcards.source),
            translator=wildcards.translator,
            seeds=self.config.sweep.seeds,
            dataset=self.config.dataset.name,
        ).model_dump_json()

    # ---------------------------------------------------------------- texts

    def tuning_sources(self, wildcards: Any) -> list[str]:
        """The text sources that tuning a recipe looks at: all of the table, or none."""
        return self.layout.sources if RECIPES[wildcards.recipe].texts else []

    def _sources(self, wildcards: Any) -> list[str]:
        """The text sources of a cell, or of a tuning."""
        if not hasattr(wildcards, "source"):
            return self.tuning_sources(wildcards)
        return [] if wildcards.source == "none" else [wildcards.source]

    def _tables(self, wildcards: Any) -> list[str]:
        return [name_table(source, wildcards.recipe) for source in self._sources(wildcards)]

    def texts(self, wildcards: Any) -> list[str]:
        """The text tables of a cell or of a tuning."""
        return [self.layout.texts(table) for table in self._tables(wildcards)]

    def translated(self, wildcards: Any) -> list[str]:
        """Their translated features, for a recipe that reads them."""
        tables = self._tables(wildcards) if RECIPES[wildcards.recipe].translates else []
        return [self.layout.translated(wildcards.translator, table) for table in tables]

    def raw(self, wildcards: Any) -> list[str]:
        """Their features as they are, for a recipe that reads them."""
        tables = self._tables(wildcards) if "raw" in RECIPES[wildcards.recipe].texts else []
        return [self.layout.translated(RAW, table) for table in tables]

    # ---------------------------------------------------------------- tuning

    def tuning(self, wildcards: Any) -> list[str]:
        """The file of a cell's hyper-parameters; none for a recipe that has none."""
        recipe = RECIPES[wildcards.recipe].tuned_as or wildcards.recipe
        path = self.layout.tuning(self.config.sweep.translator, recipe, wildcards.budget)
        return [path] if RECIPES[recipe].tuned else []

    def tuning_options(self, wildcards: Any) -> list[str]:
        """The option that names it."""
        return [word for path in self.tuning(wildcards) for word in ("--tuning", path)]

    # ---------------------------------------------------------------- calibration

    def _calibrated_texts(self) -> tuple[dict[str, str], dict[tuple[str, str], str]]:
        """The text tables of all calibrated cells by name, and their features by translator and name."""
        tables, features = dict[str, str](), dict[tuple[str, str], str]()
        for cell in self.targets.calibrated_cells:
            translator, recipe, _, source, *_ = cell.removeprefix(self.layout.cell_file("", "")[:-1]).split("/")
            if source == "none":
                continue
            table, kinds = name_table(source, recipe), RECIPES[recipe].texts
            tables[table] = self.layout.texts(table)
            made_by = [name for kind, name in (("translated", translator), ("raw", RAW)) if kind in kinds]
            features |= {(name, table): self.layout.translated(name, table) for name in made_by}
        return tables, features

    @property
    def calibration_texts(self) -> list[str]:
        """The files of texts of all calibrated cells."""
        tables, features = self._calibrated_texts()
        return [*tables.values(), *features.values()]

    def calibration_options(self, wildcards: Any) -> list[str]:
        """The options that name them."""
        tables, features = self._calibrated_texts()
        named = [("--texts", *item) for item in tables.items()]
        named += [("--features", *names, path) for names, path in features.items()]
        return [word for words in named for word in words]


def name_table(source: str, recipe: str) -> str:
    """The name of the text table that a recipe takes a source's texts from."""
    return source + WITH_NAMES if RECIPES[recipe].prompts == "attributes" else source
