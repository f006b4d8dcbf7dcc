"""Arguments of the jobs that fit and apply translators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fieldguide.core.provenance import code_hash
from fieldguide.translators.registry import TRANSLATORS
from fieldguide.translators.settings import FitTranslator, QFormerSettings, TrainQFormer
from fieldguide.workflow.jobs import GPU, Jobs

# What it lists is hashed line by line, so that another translator is fitted without fitting the others anew.
REGISTRY = frozenset({"translators.registry"})


class TranslatorJobs(Jobs):
    """For rules/translators.smk, and the translators of conversion.smk."""

    def kind(self, wildcards: Any) -> str:
        return self.layout.translator_kind(wildcards.translator)

    def code_of(self, module: str) -> Callable[[Any], str]:
        """A params function: the hash of a stage with the job's translator, its file and its line of the registry."""

        def code(wildcards: Any) -> str:
            translator = TRANSLATORS[self.kind(wildcards)]
            modules = (module, f"translators.kinds.{translator.module}")
            return code_hash(modules, self.layout.source, REGISTRY, repr(translator))

        return code

    def settings(self, wildcards: Any) -> str:
        """The settings of a job that fits a translator: the configuration's, and what is kept to be measured on."""
        own = self.config.translators[wildcards.translator]
        stage = TrainQFormer if isinstance(own, QFormerSettings) else FitTranslator
        return stage.model_validate({**own.model_dump(), "test_share": self.config.pairs.test_share}).model_dump_json()

    def fitted(self, wildcards: Any) -> list[str]:
        """The file of a fitted translator; none for one that learns nothing."""
        return self.layout.fitted_translator(wildcards.translator)

    def gpu(self, wildcards: Any) -> int:
        """GPUs that translating asks for; only some translators run a network."""
        return GPU if TRANSLATORS[self.kind(wildcards)].network else 0
