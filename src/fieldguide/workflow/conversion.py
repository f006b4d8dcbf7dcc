"""Arguments of the jobs that measure and show conversion accuracy."""

from __future__ import annotations

from typing import Any

from fieldguide.adapters.recipes.registry import RAW
from fieldguide.tables.settings import ConversionFigure, ConversionTable
from fieldguide.translators.settings import MeasureConversion
from fieldguide.workflow.jobs import Jobs
from fieldguide.workflow.tables import TableJobs


class ConversionJobs(Jobs):
    """For rules/conversion.smk."""

    def measure_settings(self, wildcards: Any) -> str:
        return MeasureConversion(test_share=self.config.pairs.test_share).model_dump_json()

    def table_settings(self, wildcards: Any) -> str:
        return ConversionTable(
            translator=self.config.sweep.translator,
            dataset=self.config.dataset.name,
            notes=TableJobs(self.layout).sentences,
        ).model_dump_json()

    def figure_settings(self, wildcards: Any) -> str:
        return ConversionFigure(
            translator=self.config.sweep.translator, classes=self.config.conversion.classes
        ).model_dump_json()

    def source_files(self, translator: str, source: str) -> list[str]:
        """The table of a text source, and its features through a translator."""
        return [self.layout.texts(source), self.layout.translated(translator, source)]

    def sources(self, wildcards: Any) -> list[str]:
        """The files of every text source through the job's translator."""
        return [file for source in self.layout.sources for file in self.source_files(wildcards.translator, source)]

    def source_options(self, wildcards: Any) -> list[str]:
        """The words of the command line that name them."""
        return [
            word
            for source in self.layout.sources
            for word in ("--source", source, *self.source_files(wildcards.translator, source))
        ]

    def drawn_files(self, wildcards: Any) -> list[str]:
        """Of the first text source the table, its features through the table's translator, and as they are."""
        return [
            file
            for source in self.layout.sources[:1]
            for file in (
                *self.source_files(self.config.sweep.translator, source),
                self.layout.translated(RAW, source),
            )
        ]

    def drawn_options(self, wildcards: Any) -> list[str]:
        """The words of the command line that name them."""
        return ["--source", *self.layout.sources[:1], *self.drawn_files(wildcards)]
