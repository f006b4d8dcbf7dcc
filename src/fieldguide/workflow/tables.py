"""Arguments of the jobs that tabulate, draw and report."""

from __future__ import annotations

import json
import shlex
from typing import Any

from fieldguide.workflow.jobs import Jobs
from fieldguide.workflow.links import link_path


class TableJobs(Jobs):
    """For rules/tables.smk, and the notes of conversion.smk."""

    def published(self) -> list[str]:
        """The published figures that belong beside ours; only of data sets in CUB's layout, whose split is given."""
        return [self.layout.published] if self.config.dataset.kind == "cub" else []

    def published_figures(self, wildcards: Any) -> str:
        """All published figures, and below the classes that they are of."""
        return link_path(self.layout.resource(self.config.published.figures))

    def published_classes(self, wildcards: Any) -> str:
        return link_path(self.layout.resource(self.config.published.classes))

    def published_option(self, option: str) -> str:
        """The option that hands them over; none elsewhere."""
        return " ".join([option, *self.published()]) if self.published() else ""

    def notes(self, wildcards: Any) -> str:
        """The options with the sentences that stand above the table."""
        sentences = [self.config.dataset.note] if self.config.dataset.note else []
        sentences.append(
            "Hyper-parameters were chosen on a held-out part of all training images, so labels beyond a "
            "cell's own share had a part in that choice."
        )
        return " ".join(f"--note {shlex.quote(' '.join(sentence.split()))}" for sentence in sentences)

    def report_options(self, wildcards: Any) -> str:
        """The options that name the photographs and the texts of the table."""
        texts = [f"{source}={self.layout.texts(source)}" for source in self.layout.sources]
        photographs = [f"--photographs={shlex.quote(folder)}" for folder in self.layout.photographs]
        return " ".join([*photographs, f"--texts {shlex.join(texts)}" if texts else ""])

    def configuration(self, wildcards: Any) -> str:
        """The whole configuration as JSON, which the report shows."""
        return json.dumps(self.config.model_dump(mode="json"))
