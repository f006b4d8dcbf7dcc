"""Arguments of the jobs that plan, tune, train and calibrate adapters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fieldguide.adapters.recipes.registry import RAW, RECIPES
from fieldguide.adapters.settings import (
    RATIOS,
    AdapterSettings,
    CellSettings,
    PlanSettings,
    Training,
    TuningSettings,
)
from fieldguide.core.provenance import code_hash
from fieldguide.texts.options import NO_FILE
from fieldguide.workflow.jobs import Jobs
from fieldguide.workflow.layout import BESIDE

# What it lists is hashed line by line, so that another recipe makes no cell anew.
REGISTRY = frozenset({"adapters.recipes.registry"})


class AdapterJobs(Jobs):
    """For rules/adapters.smk."""

    def code_of(self, module: str) -> Callable[[Any], str]:
        """A params function: the hash of a stage with the job's recipe, if it has one: its file and its line."""

        def code(wildcards: Any) -> str:
            if not hasattr(wildcards, "recipe"):
                return code_hash((module,), self.layout.source, REGISTRY)
            recipe = RECIPES[wildcards.recipe]
            modules = (module, f"adapters.recipes.{recipe.module}")
            # The summary is for readers.
            return code_hash(modules, self.layout.source, REGISTRY, repr(replace(recipe, summary="")))

        return code

    # ---------------------------------------------------------------- settings

    def plan_settings(self, wildcards: Any) -> str:
        return PlanSettings(sampling=wildcards.sampling, seeds=self.config.sweep.seeds).model_dump_json()

    def adapter_settings(self, budget: str) -> dict[str, Any]:
        """The adapter's settings with a cell's budget: `epochs-100`, or the adapter's own."""
        kind, _, amount = budget.partition("-")
        own = self.config.adapter
        return {**AdapterSettings.model_dump(own), "budget": kind, "amount": int(amount or own.amount)}

    def tuning_settings(self, wildcards: Any) -> str:
        per_ratio = self.config.sweep.tune == "per-ratio"
        settings = TuningSettings(
            **self.adapter_settings(wildcards.budget),
            recipe=wildcards.recipe,
            replies=self.replies(wildcards),
            tune="per-ratio" if per_ratio else "once",
            ratios=self.tuned_ratios if per_ratio else RATIOS,
        )
        return settings.model_dump_json()

    @property
    def tuned_ratios(self) -> tuple[int, ...]:
        """Those of all cells: of the table, of the sampling study, and of what else is compared."""
        ratios = {*self.config.sweep.ratios, *self.config.sampling_study.ratios, *RATIOS}
        return tuple(sorted(ratios, reverse=True))

    @property
    def cell_minutes(self) -> int:
        """How long a cell may take; one that chooses for itself is trained as often as there are trials x folds."""
        return 240 if self.config.sweep.tune == "within-cell" else 15

    def cell_settings(self, wildcards: Any) -> str:
        training, tune = self.adapter_settings(wildcards.budget), self.config.sweep.tune
        trials = ("learning_rates", "weight_decays") if tune == "within-cell" else ()
        return CellSettings(
            **{key: training[key] for key in Training.model_fields},
            ratio=int(wildcards.ratio),
            redraw=wildcards.redraw.removesuffix(BESIDE),
            texts="all" if wildcards.redraw.endswith(BESIDE) else "replaced",
            recipe=wildcards.recipe,
            translator=wildcards.translator,
            seeds=self.config.sweep.seeds,
            dataset=self.config.dataset.name,
            replies=self.replies(wildcards),
            tune=tune,
            **{key: training[key] for key in trials},
        ).model_dump_json()

    # ---------------------------------------------------------------- texts

    def source_files(self, translator: str, source: str, recipe: str) -> list[str]:
        """A source's text table, its translated features and its raw ones; empty what the recipe does not read."""
        table, kinds = RECIPES[recipe].name_table(source), RECIPES[recipe].texts
        translated = self.layout.translated(translator, table) if "translated" in kinds else ""
        return [self.layout.texts(table), translated, self.layout.translated(RAW, table) if "raw" in kinds else ""]

    def sources(self, wildcards: Any) -> list[str]:
        """The text source of a cell, none for image only; of a tuning all of the table, if the recipe takes text."""
        if hasattr(wildcards, "source"):
            return [] if wildcards.source == "none" else [wildcards.source]
        # A control takes what was chosen for its source, so that a control in the table changes no other cell.
        sources = dict.fromkeys(map(self.config.origin, self.layout.sources))
        return list(sources) if RECIPES[wildcards.recipe].texts else []

    def texts(self, wildcards: Any) -> list[str]:
        """Their files."""
        files = [self.source_files(wildcards.translator, s, wildcards.recipe) for s in self.sources(wildcards)]
        return [file for of_source in files for file in of_source if file]

    def source_options(self, wildcards: Any) -> list[str]:
        """The options that name them."""
        words = []
        for source in self.sources(wildcards):
            files = self.source_files(wildcards.translator, source, wildcards.recipe)
            # Snakemake leaves an empty word out of a shell line, however it is quoted.
            words += ["--source", source, *(file or NO_FILE for file in files)]
        return words

    def replies(self, wildcards: Any) -> tuple[str, ...]:
        """Those of which each whole reply is one text, which their tables do not tell."""
        units = {name: getattr(self.config.texts[self.config.origin(name)], "unit", "") for name in self.config.texts}
        return tuple(name for name in self.sources(wildcards) if units.get(name) == "reply")

    # ---------------------------------------------------------------- tuning

    def tuning(self, wildcards: Any) -> list[str]:
        """The file of a cell's hyper-parameters; none for a recipe that has none, or where the cell chooses them."""
        if self.config.sweep.tune == "within-cell":
            return []
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
            translator, recipe, _, source, *_ = cell.removeprefix(f"{self.layout.cells}/").split("/")
            if source == "none":
                continue
            table, (file, *files) = RECIPES[recipe].name_table(source), self.source_files(translator, source, recipe)
            tables[table] = file
            features |= {(name, table): path for name, path in zip((translator, RAW), files, strict=True) if path}
        return tables, features

    @property
    def calibration_texts(self) -> list[str]:
        """The files of texts of all calibrated cells."""
        tables, features = self._calibrated_texts()
        return [*tables.values(), *features.values()]

    def calibration_options(self, wildcards: Any) -> list[str]:
        """The options that name them."""
        tables, features = self._calibrated_texts()
        words = [word for name, path in tables.items() for word in ("--texts", name, path)]
        return words + [w for names, path in features.items() for w in ("--features", *names, path)]
