"""Arguments of the jobs that make texts."""

from __future__ import annotations

import json
import shlex
from typing import Any, cast

from fieldguide.adapters.recipes.registry import NAMES, WITH_NAMES
from fieldguide.texts.settings import FeatureSource, FileSource, LLMSource, TextChecks
from fieldguide.workflow.jobs import Jobs, join_options
from fieldguide.workflow.layout import existing
from fieldguide.workflow.links import link_path


class TextJobs(Jobs):
    """For rules/texts.smk and the texts of dataset_features.smk."""

    def llm(self, source: str) -> LLMSource:
        return cast(LLMSource, self.config.texts[source])

    def name_options(self, source: str) -> str:
        """The options that name a source's exceptions to the rule of class names."""
        names = getattr(self.config.texts.get(source), "class_names", {})
        return " ".join(f"--name {shlex.quote(theirs)} {shlex.quote(ours)}" for theirs, ours in names.items())

    def caption_options(self, wildcards: Any) -> str:
        return self.name_options("reed")

    def path(self, wildcards: Any) -> str:
        """The file that a source is read from."""
        return cast(FileSource, self.config.texts[wildcards.source]).path

    def file(self, wildcards: Any) -> list[str]:
        """The same as an input."""
        return existing([self.path(wildcards)])

    # ---------------------------------------------------------------- LLMs

    def ledger(self, wildcards: Any) -> str:
        """The ledger of an LLM's replies."""
        return self.layout.resource(self.llm(wildcards.source).ledger)

    def replayed_ledger(self, wildcards: Any) -> list[str]:
        """The same as an input, unless its source has an endpoint: then the job itself makes it grow, and others too.

        Where there is none yet, the stage itself says so.
        """
        is_asked = bool(self.llm(wildcards.source).base_url)
        return [] if is_asked else existing([self.ledger(wildcards)])

    def prompt(self, wildcards: Any) -> str:
        """The prompt that the replies answer."""
        return link_path(self.layout.resource(self.llm(wildcards.source).prompt))

    def question(self, wildcards: Any) -> dict[str, Any]:
        """What decides a source's texts: the model, what it is asked and how often."""
        source = self.llm(wildcards.source)
        return {
            "model": source.model,
            "fields": list(source.fields),
            "replies_per_class": source.replies_per_class,
            "parameters": json.dumps(source.request_parameters(), sort_keys=True),
            "thing": self.config.dataset.thing,
            "structured": source.structured,
        }

    def asking(self, wildcards: Any, input: Any) -> dict[str, Any]:
        """How missing replies are asked for. With `input` among its arguments Snakemake counts it as derived, so that
        another price, pace or budget makes no texts anew."""
        source = self.llm(wildcards.source)
        budget = "" if source.budget_usd is None else source.budget_usd
        return {**dict(source), "ledger": self.ledger(wildcards), "budget_usd": budget}

    def priced_sources(self, wildcards: Any) -> str:
        """The LLMs of the table as JSON."""
        priced = {}
        for name in self.layout.sources:
            if self.config.texts[name].kind == "llm":
                settings = self.llm(name).model_dump(mode="json")
                found = {key: self.layout.resource(settings[key]) for key in ("ledger", "prompt")}
                priced[name] = {**settings, **found}
        return json.dumps(priced)

    def class_count(self) -> int:
        """How many classes the data set has, where that is known without its data; else 0."""
        return {"cub": 200, "aviary": self.config.aviary.species}.get(self.config.dataset.kind, 0)

    # ---------------------------------------------------------------- checks

    def check_options(self, wildcards: Any) -> str:
        """How check_texts is to treat a source's texts; what does not matter to them is left out."""
        source = cast(TextChecks, self.config.texts[wildcards.source])
        options = ["--at-least", str(source.at_least), "--naming", source.naming]
        by_naming = {"added": ["--template", source.template], "removed": ["--thing", self.config.dataset.thing]}
        options += by_naming.get(source.naming, [])
        return shlex.join([*options, *(["--visible-only"] if source.visible_only else [])])

    def lexicon(self, wildcards: Any) -> str:
        """The words by which sentences about what no photograph shows are known."""
        return link_path(self.layout.resource(self.config.dataset.not_visible))

    # ---------------------------------------------------------------- class names

    def named_texts(self, wildcards: Any) -> list[str]:
        """The text table that gets class names put before its texts; none for the names alone."""
        return [] if wildcards.prompts == NAMES else [self.layout.texts(wildcards.prompts.removesuffix(WITH_NAMES))]

    def named_texts_option(self, wildcards: Any) -> str:
        """The option that names it."""
        return " ".join(f"--texts {shlex.quote(path)}" for path in self.named_texts(wildcards))

    # ---------------------------------------------------------------- the user's files

    def import_options(self, wildcards: Any) -> str:
        """How a file of texts is read."""
        source = cast(FileSource, self.config.texts[wildcards.source])
        columns = {
            name: getattr(source, name) for name in ("class_column", "image_column", "field_column", "text_column")
        }
        options = [join_options(per=source.per, others=source.others, **columns), self.name_options(wildcards.source)]
        fields = " ".join(map(shlex.quote, source.fields))
        return " ".join([*options, f"--fields {fields}"] if fields else options)

    def feature_options(self, wildcards: Any) -> str:
        """The options that name a source's arrays that are files of their own, and its names of classes."""
        given = cast(FeatureSource, self.config.texts[wildcards.source])
        files = join_options(
            text_classes=given.classes, texts=given.texts, fields=given.fields, image_ids=given.image_ids
        )
        return " ".join([files, self.name_options(wildcards.source)])

    def feature_files(self, wildcards: Any) -> list[str]:
        """A source's files."""
        given = cast(FeatureSource, self.config.texts[wildcards.source])
        named = (given.path, given.classes, given.texts, given.fields, given.image_ids)
        return existing(file for file in named if file)
