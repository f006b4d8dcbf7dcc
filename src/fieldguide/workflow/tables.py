"""Arguments of the jobs that tabulate, draw and report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv
from fieldguide.report.settings import ReportSettings
from fieldguide.tables.settings import ControlsSettings, Heading, ProbeSettings, PublishedSettings, ScoreSettings
from fieldguide.texts.settings import LLMSource
from fieldguide.workflow.jobs import Jobs
from fieldguide.workflow.links import link_path
from fieldguide.workflow.texts import TextJobs

CHOICES = {
    "once": "Hyper-parameters were chosen on a held-out part of all training images, so labels beyond a cell's own "
    "share had a part in that choice.",
    "per-ratio": "Hyper-parameters were chosen for each ratio by itself on a held-out part of all training images, so "
    "labels beyond a cell's own share had a part in that choice.",
    "within-cell": "Hyper-parameters were chosen for each cell and seed by cross-validation over its own images; no "
    "other label had a part in that choice.",
}
"""By `sweep.tune` the sentence that stands above every table of accuracies."""


class TableJobs(Jobs):
    """For rules/tables.smk."""

    def published(self) -> list[str]:
        """The published figures that belong beside ours; only of data sets in CUB's layout, whose split is given."""
        return [self.layout.published] if self.config.dataset.kind == "cub" else []

    def published_figures(self, wildcards: Any) -> str:
        """All published figures, and below the classes that they are of."""
        return link_path(self.layout.resource(self.config.published.figures))

    def published_classes(self, wildcards: Any) -> str:
        return link_path(self.layout.resource(self.config.published.classes))

    @property
    def substitutes(self) -> dict[str, str]:
        """The text sources that stand in the place of a study's, and what the study calls it."""
        names = self.config.published_names if self.config.dataset.kind == "cub" else {}
        return {ours: theirs for ours, theirs in names.items() if ours != theirs}

    def refuse_unpublished(self) -> None:
        """Raises FieldguideError where a source stands beside a published column that there is not."""
        figures = self.layout.resource(self.config.published.figures)
        if not self.substitutes or not Path(figures).is_file():
            return  # of a file that is missing Snakemake speaks
        columns = dict.fromkeys(row["text_source"] for row in read_csv(figures, ("text_source",)))
        columns.pop("none", None)
        for ours, theirs in self.substitutes.items():
            if theirs not in columns:
                raise FieldguideError(
                    f"config: texts.{ours}.published_as: {figures} has no figures of {theirs}; it has those of"
                    f" {', '.join(columns)}"
                )

    def select(self, wildcards: Any) -> str:
        """Those of select_published."""
        return PublishedSettings(sources=self.substitutes).model_dump_json()

    @property
    def sentences(self) -> tuple[str, ...]:
        """What stands above every table: the data set's own note, on one line, whose text is not the published, and how
        settings were chosen."""
        note, choice = " ".join(self.config.dataset.note.split()), CHOICES[self.config.sweep.tune]
        return (*([note] if note else []), *map(self.describe_substitute, self.substitutes), choice)

    def describe_substitute(self, source: str) -> str:
        """A sentence on a source that stands in the place of a published one."""
        theirs, ours = self.substitutes[source], self.config.texts[source]
        if not isinstance(ours, LLMSource):
            return f"{source} stands in the place of the published {theirs}: its text is another."
        if re.fullmatch(rf"{re.escape(theirs)}(-\d+)?", ours.model):
            return f"{source} stands in the place of the published {theirs}: the same model, asked again."
        return (
            f"{source} stands in the place of the published {theirs}: its text is another model's, {ours.model}, and"
            f" any published figure beside it is of {theirs}."
        )

    def heading(self, wildcards: Any) -> str:
        """The settings of a stage that makes a table."""
        return Heading(dataset=self.config.dataset.name, notes=self.sentences).model_dump_json()

    def controls(self, wildcards: Any) -> str:
        """Those of tabulate_controls."""
        name, controls = self.config.dataset.name, self.layout.controls
        return ControlsSettings(dataset=name, notes=self.sentences, controls=controls).model_dump_json()

    def scores(self, wildcards: Any) -> str:
        """Those of score_sampling."""
        tolerance = self.config.sampling_study.tolerance
        return ScoreSettings(
            dataset=self.config.dataset.name, notes=self.sentences, tolerance=tolerance
        ).model_dump_json()

    def probe(self, wildcards: Any) -> str:
        """Those of probe_features."""
        return ProbeSettings(seeds=self.config.sweep.seeds).model_dump_json()

    def report(self, wildcards: Any) -> str:
        """Those of write_report; the configuration is shown as it is."""
        return ReportSettings(
            dataset=self.config.dataset.name,
            notes=self.sentences,
            language=self.config.language,
            thing=self.config.dataset.thing,
            sources=TextJobs(self.layout).llms(),
            configuration=json.loads(self.config.model_dump_json()),
        ).model_dump_json()

    def texts(self, wildcards: Any) -> list[str]:
        """The options of write_report that name the texts of the table, word by word."""
        return [word for name in self.layout.sources for word in ("--texts", name, self.layout.texts(name))]
