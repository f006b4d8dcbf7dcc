"""What the settings of all packages are made of."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from fieldguide.core.errors import repeated

# What becomes a part of a path or of a command line.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Ratio = Annotated[int, Field(ge=0, le=100, strict=True)]
Seed = Annotated[int, Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]


def refuse_repeats(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, none of which occurs twice."""
    if twice := repeated(value):
        raise ValueError(f"lists {twice[0]} twice")
    return value


def check_digits(value: str, count: int) -> str:
    """A checksum of so many hexadecimal digits, or an empty one."""
    if value and not re.fullmatch(rf"[0-9a-fA-F]{{{count}}}", value):
        raise ValueError(f"should be {count} hexadecimal digits or empty, not {value!r}")
    return value


def check_md5(value: str) -> str:
    return check_digits(value, 32)


def check_sha256(value: str) -> str:
    return check_digits(value, 64)


class Section(BaseModel):
    """A section of the configuration: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
