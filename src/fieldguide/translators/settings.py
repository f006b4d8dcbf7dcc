"""The configuration of translators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator, model_validator

from fieldguide.core.settings import Count, Section, Seed
from fieldguide.translators.fit_translator import values_of
from fieldguide.translators.pairs import fault_of_expression
from fieldguide.translators.registry import kinds_of

if TYPE_CHECKING:
    PooledKind = str
else:
    PooledKind = Literal[kinds_of("fit_translator")]


class IdentitySettings(Section):
    """The pooled text feature as it is: nothing to set and nothing to train."""

    kind: Literal["identity"]


def refuse_broken_expression(value: str) -> str:
    """For `exclude`: told before anything is encoded."""
    if fault := fault_of_expression(value):
        raise ValueError(f"'{value}' is not a regular expression: {fault}")
    return value


class PooledSettings(Section):
    """A translator that `fit_translator` fits to pooled features: which pairs it may see, and what is tried."""

    kind: PooledKind
    exclude: str = ""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.05
    seed: Seed = 0
    values: dict[str, tuple[Annotated[float, Field(gt=0)], ...]] = Field(default_factory=dict)

    exclude_can_be_read = field_validator("exclude")(refuse_broken_expression)

    @model_validator(mode="after")
    def values_are_its_own(self) -> PooledSettings:
        try:
            values_of(self.kind, self.values)
        except ValueError as error:
            raise ValueError(f"values: {error}") from None
        return self


class QFormerSettings(Section):
    kind: Literal["qformer", "qformer-pooled"]
    exclude: str = ""
    queries: Count
    layers: Count
    hidden: Count
    heads: Count
    cross_attention_frequency: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    pooling: Literal["mean", "first", "concat"] = "mean"
    residual: Literal["none", "text", "ridge"] = "none"
    correction: Annotated[float, Field(ge=0)] = 0.0
    steps: Count
    batch: Annotated[int, Field(ge=2, strict=True)]
    lr: Annotated[float, Field(gt=0)]
    warmup: Annotated[int, Field(ge=0, strict=True)]
    weight_decay: Annotated[float, Field(ge=0)]
    clip: Annotated[float, Field(gt=0)] = 1.0
    cosine: Annotated[float, Field(ge=0)] = 1.0
    mse: Annotated[float, Field(ge=0)] = 0.0
    info_nce: Annotated[float, Field(ge=0)]
    temperature: Annotated[float, Field(gt=0)]
    captions: Literal["all", "one"] = "all"
    bucketing: Count = 16
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    held_out: Annotated[float, Field(gt=0, lt=1)]
    evaluate_every: Count
    seed: Seed

    exclude_can_be_read = field_validator("exclude")(refuse_broken_expression)

    @model_validator(mode="after")
    def warm_up_ends(self) -> QFormerSettings:
        if self.warmup > self.steps:
            raise ValueError(f"warmup is {self.warmup} of {self.steps} steps, so that lr would never be reached")
        return self

    @model_validator(mode="after")
    def heads_share_the_width(self) -> QFormerSettings:
        if self.hidden % self.heads:
            raise ValueError(f"hidden is {self.hidden}, which {self.heads} heads cannot share equally")
        return self

    @model_validator(mode="after")
    def some_loss(self) -> QFormerSettings:
        if not self.cosine and not self.mse and not self.info_nce:
            raise ValueError("cosine, mse and info_nce are all 0; one of them has to say what is to be learnt")
        return self

    @model_validator(mode="after")
    def a_correction_has_a_base(self) -> QFormerSettings:
        if self.correction and self.residual == "none":
            raise ValueError("correction is weighed where residual is none; set residual to text or ridge")
        return self


Translator = Annotated[QFormerSettings | PooledSettings | IdentitySettings, Field(discriminator="kind")]
