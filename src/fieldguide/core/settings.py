"""What the settings of all packages are made of."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from fieldguide.core.errors import FieldguideError, repeated


def expand_user(path: str) -> str:
    """A path with its `~` expanded; all else stays as it is written, an empty one empty."""
    return os.path.expanduser(path)  # noqa: PTH111


# A file or folder that the user names; `~` is expanded here and nowhere else.
UserPath = Annotated[str, AfterValidator(expand_user)]
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


# pydantic's words where they would not help, by the type of error.
MESSAGES = {
    "dict_type": "should be a section of keys and values",
    "extra_forbidden": "unknown key",
    "missing": "missing",
    "model_attributes_type": "should be a section of keys and values",
    "model_type": "should be a section of keys and values",
    "string_pattern_mismatch": "should be letters, digits, dots, underscores and hyphens, the first a letter or digit",
    "too_short": "is empty",
    "tuple_type": "should be a list",
    "union_tag_invalid": "kind should be one of {expected_tags}, not '{tag}'",
    "union_tag_not_found": "kind is missing",
}
SELF_EXPLANATORY = (
    "extra_forbidden",
    "missing",
    "too_short",
    "union_tag_invalid",
    "union_tag_not_found",
    "value_error",
)
"""Messages that need no look at the value."""


def _as_read(value: Any) -> str:
    """What YAML takes a word without quotes for."""
    if value is None or isinstance(value, bool):
        return {None: "nothing (null, ~)", False: "false (no, off)", True: "true (yes, on)"}[value]
    return f"the {'number' if isinstance(value, int | float) else 'date'} {value}"


def format_error(failure: ValidationError) -> str:
    """One line on the first thing that is wrong: the key, what it should be, what it is, how many more there are."""
    error, *others = failure.errors()
    path = [str(part) for part in error["loc"] if part != "[key]"]
    # pydantic names the kind of an entry as if it were a key.
    if path[:1] in (["texts"], ["translators"]) and len(path) > 2:
        del path[2]
    if path[:1] == ["dataset"] and len(path) > 1:
        del path[1]
    is_no_text = error["type"] in ("string_type", "invalid_key") and not isinstance(error["input"], str | list | dict)
    is_key = is_no_text and (error["loc"][-1] == "[key]" or error["type"] == "invalid_key")
    if is_key:
        del path[-1]  # it stands there as it was read, not as it is written
    where = ".".join(path) + ": " if path else ""
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if error["type"] in MESSAGES:
        message = MESSAGES[error["type"]].format(**error.get("ctx", {}))
    got = "" if error["type"] in SELF_EXPLANATORY else f", not {error['input']!r}"
    if is_no_text:
        what = "a key in it should" if is_key else "should"
        message, got = f"{what} be text, but is read as {_as_read(error['input'])}; put it in quotes", ""
    # A list whose only item is wrong counts as empty too.
    more = sum(error["loc"][: len(other["loc"])] != other["loc"] for other in others)
    and_more = f" (and {more} more)" if more else ""
    return f"{where}{message}{got}{and_more}"


Settings = TypeVar("Settings", bound=Section)


def parse_settings(model: type[Settings], text: str) -> Settings:
    """A stage's settings from JSON; raises FieldguideError naming the key that is wrong."""
    try:
        return model.model_validate_json(text)
    except ValidationError as failure:
        raise FieldguideError(f"--settings: {format_error(failure)}") from None
