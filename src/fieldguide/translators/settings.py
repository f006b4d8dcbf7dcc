"""The configuration of translators, and what each of their stages is given as `--settings`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fieldguide.core.settings import Count, Section, Seed
from fieldguide.translators.registry import kinds_of, values_to_try

if TYPE_CHECKING:
    PooledKind = str
else:
    PooledKind = Literal[kinds_of("fit_translator")]


def check_expression(value: str) -> str:
    """A regular expression that Python can read."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"'{value}' is not a regular expression: {error}") from None
    return value


Expression = Annotated[str, AfterValidator(check_expression)]
Weight = Annotated[float, Field(ge=0)]
TestShare = Annotated[float, Field(ge=0, lt=1)]

EXCLUDE = "Leave out every image one of whose captions matches this regular expression, whatever the case."
TEST_SHARE = "Share of the pairs' images that nothing is learnt from, since conversion accuracy is measured on them."


class IdentitySettings(Section):
    """The pooled text feature as it is: nothing to set and nothing to train."""

    kind: Literal["identity"] = Field(description="The texts as they are.")


class PooledSettings(Section):
    """A translator that `fit_translator` fits to pooled features: which pairs it may see, and what is tried."""

    kind: PooledKind = Field(description="Which translator; docs/translators.md says what each is.")
    exclude: Expression = Field("", description=EXCLUDE)
    held_out: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="Share of images held out to choose the hyper-parameters; the final fit uses all."
    )
    seed: Seed = Field(0, description="Seed of the held-out images and of what is drawn.")
    values: dict[str, tuple[Annotated[float, Field(gt=0)], ...]] = Field(
        default_factory=dict,
        description="Values to try in place of the kind's own: `{penalty: [0.1, 1]}`; a single value is taken as it "
        "is. `ridge` and `ridge-identity` have `penalty`, `covariance` `shrinkage` (1 at most), `noise` and "
        "`mean-shift-noise` `scale`, `memory` `temperature` and `images`, `mlp` `width`, `epochs`, `learning_rate`, "
        "`weight_decay`, `batch` and `penalty`.",
    )

    @model_validator(mode="after")
    def values_are_its_own(self) -> PooledSettings:
        try:
            values_to_try(self.kind, self.values)
        except ValueError as error:
            raise ValueError(f"values: {error}") from None
        return self


class QFormerSettings(Section):
    """The Q-Former that `train_qformer` trains; docs/qformer.md says what each key does."""

    kind: Literal["qformer", "qformer-pooled"] = Field(
        description="`qformer` reads a text's token sequence; `qformer-pooled`, an ablation, its pooled feature as the "
        "only token."
    )
    exclude: Expression = Field("", description=EXCLUDE)
    queries: Count = Field(description="Learned queries.")
    layers: Count = Field(description="Transformer layers.")
    hidden: Count = Field(description="Width of the queries' states; a multiple of `heads`.")
    heads: Count = Field(description="Heads of each attention.")
    cross_attention_frequency: Count = Field(
        description="Every n-th layer attends to the text's tokens, the first too."
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(description="Share of states dropped while training.")
    pooling: Literal["mean", "first", "concat"] = Field(
        "mean",
        description="How the queries' last states become one: their `mean`, the `first`, or all end to end (`concat`).",
    )
    residual: Literal["none", "text", "ridge"] = Field(
        "none",
        description="`none`: the queries make the image feature, as in the thesis. `text`, `ridge`: they add to a "
        "linear map of the caption's last token, fitted beforehand and kept: to the image feature through the pooled "
        "text feature, as `ridge-identity` at penalty 5, or by plain ridge.",
    )
    correction: Weight = Field(
        0.0,
        description="Weight of the squared norm of the queries' correction to that linear map; only where `residual` "
        "is not `none`.",
    )
    steps: Count = Field(description="Optimiser steps (AdamW).")
    batch: Annotated[int, Field(ge=2, strict=True)] = Field(description="Pairs per step.")
    lr: Annotated[float, Field(gt=0)] = Field(
        description="The highest learning rate, after a linear warm-up; from there a cosine to zero."
    )
    warmup: Annotated[int, Field(ge=0, strict=True)] = Field(description="Steps of warm-up, no more than `steps`.")
    weight_decay: Weight = Field(description="AdamW's, of matrices alone.")
    clip: Annotated[float, Field(gt=0)] = Field(1.0, description="Gradients are clipped to this norm.")
    cosine: Weight = Field(1.0, description="Weight of the cosine loss.")
    mse: Weight = Field(0.0, description="Weight of the squared distance before normalisation.")
    info_nce: Weight = Field(
        description="Weight of InfoNCE, with captions of the same image as positives of each other."
    )
    temperature: Annotated[float, Field(gt=0)] = Field(description="InfoNCE's temperature.")
    captions: Literal["all", "one"] = Field(
        "all",
        description="An epoch is every pair (`all`), or every image once with one of its captions, drawn anew (`one`).",
    )
    bucketing: Count = Field(
        16,
        description="Number of batches within which captions are sorted by length, so that a batch needs little "
        "padding; 1 sorts nothing.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Of the forward pass: `fp32`, `bf16`, or `auto`: bf16 on a GPU that has it."
    )
    held_out: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="Share of images held out; the checkpoint with the best R@1 on them is kept."
    )
    evaluate_every: Count = Field(description="Steps between measurements on the held-out images.")
    seed: Seed = Field(description="Seed of the start, the order and dropout.")

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


class TrainQFormer(QFormerSettings):
    """`train_qformer --settings`."""

    test_share: TestShare = Field(0.0, description=TEST_SHARE)


class FitTranslator(PooledSettings):
    """`fit_translator --settings`."""

    test_share: TestShare = Field(0.0, description=TEST_SHARE)


class MeasureConversion(Section):
    """`measure_conversion --settings`."""

    test_share: TestShare = Field(description=TEST_SHARE)
