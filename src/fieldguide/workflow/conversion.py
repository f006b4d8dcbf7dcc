"""Arguments of the jobs that measure and show conversion accuracy."""

from __future__ import annotations

import shlex
from typing import Any

from fieldguide.adapters.recipes.registry import RAW
from fieldguide.workflow.jobs import Jobs


class ConversionJobs(Jobs):
    """For rules/conversion.smk."""

    def sources(self, wildcards: Any) -> list[str]:
        """The text tables and the translated features of every source, through one translator."""
        return [
            file
            for source in self.layout.sources
            for file in (self.layout.texts(source), self.layout.translated(wildcards.translator, source))
        ]

    def source_options(self, wildcards: Any) -> str:
        """The options that name them."""
        files = self.sources(wildcards)
        triples = zip(self.layout.sources, files[::2], files[1::2], strict=True)
        return " ".join(f"--source {shlex.quote('='.join(triple))}" for triple in triples)

    def drawn_source(self, wildcards: Any) -> list[str]:
        """The table of the first text source, its features through the table's translator, and as they are."""
        return [
            file
            for source in self.layout.sources[:1]
            for file in (
                self.layout.texts(source),
                self.layout.translated(self.config.sweep.translator, source),
                self.layout.translated(RAW, source),
            )
        ]

    def drawn_option(self, wildcards: Any, input: Any) -> str:
        """The value of the option that names them."""
        return shlex.quote("=".join([*self.layout.sources[:1], *input.source]))
