"""What the modules of the rules files share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fieldguide.core.provenance import code_hash
from fieldguide.core.settings import Section
from fieldguide.workflow.config import Config
from fieldguide.workflow.layout import Layout
from fieldguide.workflow.targets import Targets

# GPUs that a rule with a network asks for; a machine without one ignores it, a cluster may set another number.
GPU = 1


def more_each_try(amount: int) -> Callable[..., int]:
    """A resource of which a job that failed asks more when it is tried again: twice, three times as much."""

    def resource(wildcards: Any, attempt: int) -> int:
        return amount * attempt

    return resource


def dump_part(section: Section, part: type[Section]) -> str:
    """The keys of a section that a stage reads, as its `--settings`: a change of the others makes nothing run again."""
    return section.model_dump_json(include=set(part.model_fields))


@dataclass(frozen=True)
class Jobs:
    """What the rules of one file ask about their jobs. Methods that take `wildcards` are input or params functions."""

    layout: Layout

    @property
    def config(self) -> Config:
        return self.layout.config

    @cached_property
    def targets(self) -> Targets:
        return Targets(self.layout)

    def code(self, module: str) -> Callable[[Any], str]:
        """A params function: a hash of the code that a stage runs, such as "data.index_images".

        It reruns the stage's rule when it changes; a function, so that a job hashes its own stage alone.
        """
        return lambda wildcards: code_hash((module,), self.layout.source)
