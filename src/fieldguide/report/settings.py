"""The settings of the report."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from fieldguide.core.settings import Count
from fieldguide.report.headings import Language
from fieldguide.tables.settings import Heading
from fieldguide.texts.settings import LLMSource


class ReportSettings(Heading):
    """What write_report takes."""

    language: Language = Field(default="en", description="of the tables' headings")
    pairs: Count = Field(default=5, description="confused pairs shown of a cell")
    thing: str = Field(default="", description="what the classes are, for prompts with {thing}")
    sources: dict[str, LLMSource] = Field(default_factory=dict, description="the LLMs among the text sources, by name")
    configuration: dict[str, Any] = Field(default_factory=dict, description="the run's, to be shown")
