"""Arguments of the jobs that fit and apply translators."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any, cast

from fieldguide.core.provenance import code_hash
from fieldguide.translators.registry import TRANSLATORS
from fieldguide.translators.settings import PooledSettings
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

    def qformer_options(self, wildcards: Any) -> str:
        """A Q-Former's settings as train_qformer takes them: all are named alike."""
        settings = self.config.translators[wildcards.translator].model_dump()
        return shlex.join(f"--{name.replace('_', '-')}={value}" for name, value in settings.items())

    def fit_options(self, wildcards: Any) -> str:
        """The settings of a translator that is fitted to pooled features."""
        settings = cast(PooledSettings, self.config.translators[wildcards.translator])
        values = json.dumps({name: list(tried) for name, tried in settings.values.items()})
        options = [f"--kind={settings.kind}", f"--exclude={settings.exclude}", f"--values={values}"]
        return shlex.join([*options, f"--held-out={settings.held_out}", f"--seed={settings.seed}"])

    def fitted(self, wildcards: Any) -> list[str]:
        """The file of a fitted translator; none for one that learns nothing."""
        return self.layout.fitted_translator(wildcards.translator)

    def option(self, wildcards: Any) -> str:
        """The option that says how a translator translates: its kind, or the file that its fitting wrote."""
        fitted = self.fitted(wildcards)
        return f"--translator {shlex.quote(fitted[0])}" if fitted else f"--kind {self.kind(wildcards)}"

    def gpu(self, wildcards: Any) -> int:
        """GPUs that translating asks for; only some translators run a network."""
        return GPU if TRANSLATORS[self.kind(wildcards)].network else 0
