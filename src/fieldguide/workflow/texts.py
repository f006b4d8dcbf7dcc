"""Settings and files of the jobs that make texts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from fieldguide.adapters.recipes.registry import NAMES, WITH_NAMES
from fieldguide.texts.settings import (
    CaptionSettings,
    CheckSettings,
    ControlSource,
    FeatureSource,
    FileSource,
    GenerateSettings,
    LLMSource,
    PriceSettings,
    TextChecks,
)
from fieldguide.workflow.jobs import Jobs
from fieldguide.workflow.layout import existing
from fieldguide.workflow.links import link_path


class TextJobs(Jobs):
    """For rules/texts.smk and the texts of dataset_features.smk."""

    def caption_settings(self, wildcards: Any) -> str:
        """How the class folders of Reed's captions are matched."""
        names = getattr(self.config.texts.get("reed"), "class_names", {})
        return CaptionSettings(class_names=names).model_dump_json()

    # ---------------------------------------------------------------- LLMs

    def llm(self, source: str) -> LLMSource:
        """An LLM's settings, its ledger and prompt found wherever the workflow runs."""
        settings = cast(LLMSource, self.config.texts[source])
        found = {key: self.layout.resource(getattr(settings, key)) for key in ("ledger", "prompt")}
        return settings.model_copy(update=found)

    def llms(self) -> dict[str, LLMSource]:
        """The LLMs of the table, and those that its controls are made of."""
        names = dict.fromkeys(map(self.config.origin, self.layout.sources))
        return {name: self.llm(name) for name in names if self.config.texts[name].kind == "llm"}

    def replayed_ledger(self, wildcards: Any) -> list[str]:
        """The ledger as an input, unless its source has an endpoint: then the job itself makes it grow, and others too.

        Where there is none yet, the stage itself says so.
        """
        source = self.llm(wildcards.source)
        return [] if source.base_url else existing([source.ledger])

    def prompt(self, wildcards: Any) -> str:
        """The prompt that the replies answer."""
        return link_path(self.llm(wildcards.source).prompt)

    def question(self, wildcards: Any) -> str:
        """What decides a source's texts: the model, what it is asked and how often."""
        source = self.llm(wildcards.source)
        deciding = source.model_dump(include={"model", "fields", "replies_per_class", "structured"})
        return json.dumps({**deciding, "parameters": source.request_parameters(), "thing": self.config.dataset.thing})

    def generate_settings(self, wildcards: Any, input: Any) -> str:
        """The same, and how missing replies are asked for. With `input` among its arguments Snakemake counts it as
        derived, so that another price, pace or budget makes no texts anew."""
        source = self.llm(wildcards.source)
        return GenerateSettings(**source.model_dump(), thing=self.config.dataset.thing).model_dump_json()

    def price_settings(self, wildcards: Any) -> str:
        """The LLMs of the table, and how many classes the data set has where that is known without its data."""
        count = {"cub": 200, "aviary": self.config.aviary.species}.get(self.config.dataset.kind, 0)
        thing = self.config.dataset.thing
        return PriceSettings(sources=self.llms(), thing=thing, class_count=count).model_dump_json()

    def likely_classes(self) -> list[str]:
        """The classes that are to be expected before the data are there, where they are known: those of CUB."""
        is_cub = self.config.dataset.kind == "cub"
        return [self.layout.resource(self.config.published.classes)] if is_cub else []

    def check_words(self, sources: Iterable[str]) -> list[str]:
        """The options with which check_llm looks at these LLMs."""
        sources = list(sources)
        settings = PriceSettings(sources={name: self.llm(name) for name in sources}, thing=self.config.dataset.thing)
        words = ["--settings", settings.model_dump_json(), "--classes", self.layout.class_records]
        return [*words, *(word for path in self.likely_classes() for word in ("--likely-classes", path))]

    def unasked_llms(self, sources: Iterable[str]) -> list[str]:
        """Those of the sources that may have something to ask, or no ledger to be replayed: LLMs to be checked."""
        llms = {name: self.llm(name) for name in dict.fromkeys(sources)}
        return [name for name, llm in llms.items() if llm.base_url or not Path(llm.ledger).exists()]

    # ---------------------------------------------------------------- checks

    def check_settings(self, wildcards: Any) -> str:
        """How check_texts is to treat a source's texts; what does not matter to them is left out."""
        source = cast(TextChecks, self.config.texts[wildcards.source])
        by_naming = {"added": {"template"}, "removed": {"thing"}}.get(source.naming, set())
        settings = CheckSettings(
            **source.model_dump(include=set(TextChecks.model_fields)), thing=self.config.dataset.thing
        )
        return settings.model_dump_json(include={"at_least", "naming", "visible_only", *by_naming})

    def lexicon(self, wildcards: Any) -> str:
        """The words by which sentences about what no photograph shows are known."""
        return link_path(self.layout.resource(self.config.dataset.not_visible))

    # ---------------------------------------------------------------- class names

    def named_texts(self, wildcards: Any) -> list[str]:
        """The text table that gets class names put before its texts; none for the names alone."""
        return [] if wildcards.prompts == NAMES else [self.layout.texts(wildcards.prompts.removesuffix(WITH_NAMES))]

    # ---------------------------------------------------------------- controls

    def control(self, source: str) -> ControlSource:
        return cast(ControlSource, self.config.texts[source])

    def control_table(self, wildcards: Any) -> str:
        """The texts that a control is made of, as they are used."""
        return self.layout.texts(self.control(wildcards.source).of)

    def control_features(self, wildcards: Any) -> list[str]:
        """Their features, where they were computed elsewhere: then the control is rows of them."""
        given = self.config.dataset.kind == "features"
        return self.layout.text_features(self.control(wildcards.source).of) if given else []

    def control_names(self, wildcards: Any) -> list[str]:
        """The texts that are class names, by which the nearest class is found among encoded texts."""
        return [self.layout.texts(NAMES)] if self._reads_names(wildcards.source) else []

    def control_name_features(self, wildcards: Any) -> list[str]:
        """Their features."""
        return self.layout.text_features(NAMES) if self._reads_names(wildcards.source) else []

    def _reads_names(self, source: str) -> bool:
        return self.control(source).control == "family" and self.config.dataset.kind != "features"

    def control_families(self, wildcards: Any) -> list[str]:
        """The user's table of families; of one that is missing the stage says more than Snakemake."""
        families = self.control(wildcards.source).families
        return existing([families] if families else [])

    def control_settings(self, wildcards: Any) -> str:
        """What a control takes out, and by which seed."""
        return self.control(wildcards.source).model_dump_json()

    # ---------------------------------------------------------------- the user's files

    def file(self, wildcards: Any) -> list[str]:
        """The user's file of texts; of one that is missing the stage says more than Snakemake."""
        return existing([cast(FileSource, self.config.texts[wildcards.source]).path])

    def import_settings(self, wildcards: Any) -> str:
        """How a file of texts is read; not how its texts are checked."""
        return self.config.texts[wildcards.source].model_dump_json(exclude=set(TextChecks.model_fields))

    def feature_settings(self, wildcards: Any) -> str:
        """The user's files of a source's features, and how its classes are matched."""
        return self.config.texts[wildcards.source].model_dump_json()

    def feature_files(self, wildcards: Any) -> list[str]:
        """Those files."""
        given = cast(FeatureSource, self.config.texts[wildcards.source])
        named = (given.path, given.classes, given.texts, given.fields, given.image_ids)
        return existing(file for file in named if file)
