"""The configuration: every key, its type and its bounds. The JSON schema beside the workflow is generated from here.

python -m fieldguide.config --schema workflow/schemas/config.schema.yaml     writes the schema
python -m fieldguide.config config.yaml config/aviary.yaml                   checks a merged configuration
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from fieldguide.errors import FieldguideError
from fieldguide.files import write_text
from fieldguide.recipes.registry import NAMES, RECIPES, WITH_NAMES
from fieldguide.records import repeated

# What becomes a part of a path or of a command line.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Ratio = Annotated[int, Field(ge=0, le=100, strict=True)]
Seed = Annotated[int, Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Sampling = Literal["class-wise", "global"]
Redraw = Literal["fixed", "per-epoch"]
if TYPE_CHECKING:
    RecipeName = str
else:
    RecipeName = Literal[tuple(RECIPES)]


def refuse_repeats(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, none of which occurs twice."""
    if twice := repeated(value):
        raise ValueError(f"lists {twice[0]} twice")
    return value


def refuse_redraw(recipes: tuple[str, ...], redraw: str) -> None:
    """Only a recipe that trains in epochs can draw its images anew in each."""
    if redraw != "fixed" and (stiff := [name for name in recipes if not RECIPES[name].redraws]):
        raise ValueError(f"recipe '{stiff[0]}' has no epochs: it needs redraw: fixed")


class Section(BaseModel):
    """A section of the configuration: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Dataset(Section):
    name: Name
    kind: Literal["cub", "aviary"]
    note: str = ""


class Archive(Section):
    path: str
    urls: tuple[str, ...] = ()
    sha256: str = ""
    md5: str = ""
    by_hand: str = ""


class Data(Section):
    cub: Archive
    reed: Archive
    coco_images: Archive
    coco_annotations: Archive


class World(Section):
    split: Name
    images: Annotated[int, Field(ge=0, strict=True)]
    seed: Seed


class Aviary(Section):
    seed: Seed
    species: Annotated[int, Field(ge=2, le=56, strict=True)]
    train_per_class: Annotated[int, Field(ge=2, strict=True)]
    test_per_class: Count
    world_images: Annotated[int, Field(ge=4, strict=True)]
    captions_per_world_image: Count
    bird_share: Annotated[float, Field(ge=0, le=1)]


class BackboneSettings(Section):
    model: str
    pretrained: str
    precision: Literal["fp32", "bf16", "fp16"]
    image_batch: Count
    text_batch: Count


class CaptionSource(Section):
    kind: Literal["captions"]


class LLMSource(Section):
    kind: Literal["llm"]
    model: Name
    ledger: str
    prompt: str
    fields: tuple[Name, ...] = Field(min_length=1)
    replies_per_class: Count


Source = Annotated[CaptionSource | LLMSource, Field(discriminator="kind")]


class QFormerSettings(Section):
    kind: Literal["qformer"]
    exclude: str = ""
    queries: Count
    layers: Count
    hidden: Count
    heads: Count
    cross_attention_frequency: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    steps: Count
    batch: Annotated[int, Field(ge=2, strict=True)]
    lr: Annotated[float, Field(gt=0)]
    warmup: Annotated[int, Field(ge=0, strict=True)]
    weight_decay: Annotated[float, Field(ge=0)]
    info_nce: Annotated[float, Field(ge=0)]
    temperature: Annotated[float, Field(gt=0)]
    held_out: Annotated[float, Field(gt=0, lt=1)]
    evaluate_every: Count
    seed: Seed

    @model_validator(mode="after")
    def heads_share_the_width(self) -> QFormerSettings:
        if self.hidden % self.heads:
            raise ValueError(f"hidden is {self.hidden}, which {self.heads} heads cannot share equally")
        return self


class AdapterSettings(Section):
    budget: Literal["steps", "epochs"]
    amount: Count
    batch: Count
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)
    weight_decays: tuple[Annotated[float, Field(ge=0)], ...] = Field(min_length=1)
    validation: Annotated[float, Field(gt=0, lt=1)]
    tuning_seeds: Count


class Variant(Section):
    sampling: Sampling
    redraw: Redraw
    recipes: tuple[RecipeName, ...] = Field(default=("thesis",), min_length=1)
    sources: tuple[Name, ...] = Field(min_length=1)

    no_repeats = field_validator("sources", "recipes")(refuse_repeats)

    @model_validator(mode="after")
    def recipes_redraw(self) -> Variant:
        refuse_redraw(self.recipes, self.redraw)
        return self


class Sweep(Section):
    ratios: tuple[Ratio, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(min_length=1)
    translator: Name
    text_only_translators: tuple[Name, ...] = ()
    variants: tuple[Variant, ...] = Field(min_length=1)
    baselines: tuple[RecipeName, ...] = ()

    no_repeats = field_validator("ratios", "seeds", "text_only_translators", "baselines")(refuse_repeats)

    @model_validator(mode="after")
    def baselines_have_a_place(self) -> Sweep:
        first = self.variants[0]
        refuse_redraw(self.baselines, first.redraw)
        if twice := [name for name in self.baselines if name in first.recipes]:
            raise ValueError(f"baselines: '{twice[0]}' is among the first variant's recipes already")
        return self

    @field_validator("variants")
    @classmethod
    def no_cell_twice(cls, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        refuse_repeats(
            tuple(f"{v.sampling} {v.redraw} {r} {source}" for v in variants for r in v.recipes for source in v.sources)
        )
        return variants


class Threads(Section):
    encode: Count
    translator: Count
    adapter: Count


class Config(Section):
    dataset: Dataset
    results: str
    data: Data
    world: World
    aviary: Aviary
    backbone: BackboneSettings
    texts: dict[Name, Source]
    translators: dict[Name, QFormerSettings]
    adapter: AdapterSettings
    sweep: Sweep
    threads: Threads
    published: str

    @model_validator(mode="after")
    def names_are_known(self) -> Config:
        known = ["none", *self.texts]
        for variant in self.sweep.variants:
            for source in variant.sources:
                if source not in known:
                    raise ValueError(f"sweep.variants: unknown text source '{source}'; known are {', '.join(known)}")
        for name in (self.sweep.translator, *self.sweep.text_only_translators):
            if name not in self.translators:
                raise ValueError(f"sweep: unknown translator '{name}'; known are {', '.join(self.translators)}")
        if "none" in self.texts:
            raise ValueError("texts.none: 'none' means image only and cannot name a text source")
        if taken := [name for name in self.texts if name == NAMES or name.endswith(WITH_NAMES)]:
            raise ValueError(f"texts.{taken[0]}: such a name is kept for the texts that are made of class names")
        return self


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
# Messages that need no look at the value.
SAY_ALL = ("extra_forbidden", "missing", "too_short", "union_tag_invalid", "union_tag_not_found", "value_error")


def check_config(config: Mapping[str, Any]) -> Config:
    """The configuration as typed records; raises FieldguideError with one line on the first thing that is wrong."""
    try:
        return Config.model_validate(dict(config))
    except ValidationError as failure:
        error, *others = failure.errors()
        path = [str(part) for part in error["loc"] if part != "[key]"]
        if path[:1] == ["texts"] and len(path) > 2:
            del path[2]  # pydantic names the kind of a source as if it were a key
        where = ".".join(path) + ": " if path else ""
        message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if error["type"] in MESSAGES:
            message = MESSAGES[error["type"]].format(**error.get("ctx", {}))
        got = "" if error["type"] in SAY_ALL else f", not {error['input']!r}"
        # A list whose only item is wrong counts as empty too.
        more = sum(error["loc"][: len(other["loc"])] != other["loc"] for other in others)
        and_more = f" (and {more} more)" if more else ""
        raise FieldguideError(f"config: {where}{message}{got}{and_more}; see config/README.md") from None


def schema_text() -> str:
    """The JSON schema of the configuration, as YAML."""
    import yaml

    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    head = "# Generated by `python -m fieldguide.config --schema`; a test fails when it differs from the model.\n"
    return head + yaml.safe_dump(schema, sort_keys=False, width=120)


def merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """As Snakemake merges configuration files: mappings merge (an empty one adds nothing), everything else replaces."""
    for key, value in over.items():
        if not isinstance(value, Mapping):
            base[key] = value
        elif value:
            below = base.get(key)
            base[key] = merge(below if isinstance(below, dict) else {}, value)
        else:
            base.setdefault(key, {})
    return base


def read_yaml(path: Path) -> dict[str, Any]:
    """A configuration file; raises FieldguideError naming one that is not YAML or not a mapping."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FieldguideError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise FieldguideError(f"{path}: should be a section of keys and values")
    return content


def main(argv: Sequence[str] | None = None) -> None:
    import sys

    parser = argparse.ArgumentParser(
        "python -m fieldguide.config", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="configuration files, later ones override")
    parser.add_argument("--schema", type=Path, help="write the JSON schema to this file")
    args = parser.parse_args(argv)
    if args.schema:
        write_text(args.schema, schema_text())
    merged: dict[str, Any] = {}
    try:
        for file in args.files:
            merge(merged, read_yaml(file))
        if args.files:
            check_config(merged)
    except (FieldguideError, OSError) as error:
        sys.exit(f"config: error: {error}")


if __name__ == "__main__":
    main()
