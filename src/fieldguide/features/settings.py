"""The configuration of the backbone."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, field_validator

from fieldguide.core.settings import Count, Section, UserPath, check_sha256, expand_user


class Shards(Section):
    """Into how many files features are split."""

    dataset: Count
    pairs: Count
    texts: Count


def refuse_no_batch(value: Any) -> Any:
    """The value, where it is a batch size; one sentence in place of pydantic's two on a union."""
    if value != "auto" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ValueError(f"should be auto or a whole number from 1, not {value!r}")
    return value


Batch = Annotated[Count | Literal["auto"], BeforeValidator(refuse_no_batch)]


def expand_model(model: str) -> str:
    """The model's name; the folder of a local one with its `~` expanded."""
    kind, colon, folder = model.partition(":")
    return f"{kind}:{expand_user(folder)}" if colon else model


class BackboneSettings(Section):
    model: Annotated[str, AfterValidator(expand_model)]
    pretrained: UserPath
    precision: Literal["fp32", "bf16", "fp16", "auto"]
    image_batch: Batch
    text_batch: Batch
    shards: Shards
    cache: UserPath = "data/backbones"
    sha256: str = ""

    good_sha256 = field_validator("sha256")(check_sha256)
