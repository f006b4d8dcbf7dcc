"""The settings of features: the backbone, and what the stages that download it and encode with it take."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from fieldguide.core.settings import Count, Section, UserPath, check_sha256, expand_user


class Shards(Section):
    """Into how many files features are split."""

    dataset: Count = Field(description="Files for the labelled images.")
    pairs: Count = Field(description="Files for the pairs' images, and for their captions.")
    texts: Count = Field(description="Files for each text source.")


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


class BackboneName(Section):
    """Which network encodes, with which weights, in which precision."""

    model: Annotated[str, AfterValidator(expand_model)] = Field(
        description="An open_clip model name, `local-dir:<folder>` with `open_clip_config.json` and weights, or"
        " `hf-hub:<owner>/<name>`, a repository of the Hugging Face hub that holds the same."
    )
    pretrained: UserPath = Field(
        description="An open_clip tag (`openai`, `laion2b_s32b_b82k`, …) or a weights file; empty for `local-dir` and"
        " `hf-hub`. The"
        " tag `openai` brings QuickGELU along; OpenAI's weights as a file (its own `.pt` too) need a model name that"
        " ends in `-quickgelu`."
    )
    precision: Literal["fp32", "bf16", "fp16", "auto"] = Field(
        description="Of the forward pass: `fp32`, `bf16`, `fp16`; `auto` is bf16 on a GPU that has it and fp32"
        " elsewhere. Feature files say in which they were made, and files of two precisions are refused together."
    )


Channels = tuple[float, float, float]
"""A number per channel: red, green, blue."""


class Preprocessing(Section):
    """How a photograph becomes the image encoder's input, in the words of open_clip's `PreprocessCfg`."""

    mean: Channels | None = Field(default=None, description="What is taken off red, green and blue, each from 0 to 1.")
    std: Channels | None = Field(default=None, description="What they are then divided by.")
    interpolation: Literal["bicubic", "bilinear"] | None = Field(default=None, description="By which it is resized.")
    resize_mode: Literal["shortest", "longest", "squash"] | None = Field(
        default=None,
        description="`shortest`: the shorter side fits and the rest is cut off; `longest`: the longer side fits and the"
        " rest is filled; `squash`: both sides fit.",
    )
    size: Count | None = Field(
        default=None,
        description="Side of the square in pixels, where it is not the model's own; positions are then interpolated.",
    )

    @field_validator("std")
    @classmethod
    def refuse_zero(cls, std: Channels | None) -> Channels | None:
        if std is not None and min(std) <= 0:
            raise ValueError(f"should be three numbers above 0, not {list(std)}")
        return std

    def given(self) -> dict[str, Any]:
        """What is set, by its name; empty where nothing is."""
        return self.model_dump(mode="json", exclude_none=True)


class EncodingBackbone(BackboneName):
    """The backbone with what the user says of its preprocessing."""

    preprocessing: Preprocessing = Field(
        default=Preprocessing(),
        description="How a photograph becomes the image encoder's input, where weights do not say it themselves"
        " (docs/backbones.md). A tag, a `local-dir` and a repository of the hub bring it along; for a weights file"
        " open_clip's tags of the model are asked, and where these differ, or there are none, it has to be given here."
        " What is given wins; other values are another folder of features.",
    )


class EncoderSettings(EncodingBackbone):
    """What `encode_images` and `encode_texts` take."""

    batch: Batch = Field(default="auto", description="Items per forward pass: a number, or `auto`.")


class BackboneDownload(BackboneName):
    """What `download_backbone` takes."""

    sha256: str = Field(
        default="",
        description="Published checksum of the weights file that is downloaded; empty: the one that the hub, or"
        " open_clip's address, publishes. Other weights are refused by name and removed.",
    )

    good_sha256 = field_validator("sha256")(check_sha256)


class BackboneSettings(BackboneDownload, EncodingBackbone):
    """The backbone of the configuration."""

    image_batch: Batch = Field(
        description="Images per forward pass: a number, or `auto`, 32 on a CPU, and on a GPU what its free memory"
        " holds, up to 512."
    )
    text_batch: Batch = Field(
        description="Texts per forward pass: a number, or `auto`, 128 on a CPU, and on a GPU what its free memory"
        " holds, up to 2,048."
    )
    shards: Shards = Field(
        description="Files that features are split into. A shard is a Snakemake job and a contiguous range of the"
        " table's rows: a killed run repeats only unfinished shards, and several GPUs work side by side (`--jobs`, or a"
        " cluster profile)."
    )
    cache: UserPath = Field(
        default="data/backbones",
        description="Folder that `download_backbone` brings weights and tokenizer to; read by encoders, which then need"
        " no network. Not used for a `local-dir` or a weights file.",
    )
