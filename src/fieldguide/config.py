"""The configuration: every key, its type and its bounds. The JSON schema beside the workflow is generated from here.

python -m fieldguide.config --schema workflow/schemas/config.schema.yaml     writes the schema
python -m fieldguide.config config.yaml config/aviary.yaml                   checks a merged configuration
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from fieldguide.errors import FieldguideError
from fieldguide.files import write_text
from fieldguide.fit_translator import values_of
from fieldguide.naming import fault_of_template
from fieldguide.pairs import fault_of_expression
from fieldguide.recipes.registry import NAMES, RAW, RECIPES, WITH_NAMES
from fieldguide.records import repeated
from fieldguide.translators.registry import kinds_of

# What becomes a part of a path or of a command line.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Ratio = Annotated[int, Field(ge=0, le=100, strict=True)]
Seed = Annotated[int, Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Sampling = Literal["class-wise", "global"]
Redraw = Literal["fixed", "per-epoch"]
Budget = Literal["steps", "epochs"]
if TYPE_CHECKING:
    RecipeName = str
    PooledKind = str
else:
    PooledKind = Literal[kinds_of("fit_translator")]
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


class DatasetSection(Section):
    name: Name
    note: str = ""
    leave_out: tuple[str, ...] = ()
    skip_damaged: Annotated[bool, Field(strict=True)] = False
    thing: Annotated[str, StringConstraints(pattern=r"^\w[\w -]*$")] = "bird"
    not_visible: str = "workflow/resources/not_visible.txt"

    no_repeats = field_validator("leave_out")(refuse_repeats)


class ArchiveDataset(DatasetSection):
    kind: Literal["cub", "aviary"]


class Splits(Section):
    train: str = "train"
    test: str = "test"


class FolderDataset(DatasetSection):
    kind: Literal["folder"]
    root: str
    table: str = ""
    splits: Splits = Splits()


class FeatureFile(Section):
    path: str
    labels: str = ""
    splits: str = ""
    ids: str = ""


class FeaturesDataset(DatasetSection):
    kind: Literal["features"]
    images: FeatureFile | None = None
    train: FeatureFile | None = None
    test: FeatureFile | None = None
    class_names: str = ""

    @model_validator(mode="after")
    def has_both_splits(self) -> FeaturesDataset:
        given = {part for part in ("images", "train", "test") if getattr(self, part)}
        if given not in ({"images"}, {"train", "test"}):
            raise ValueError("give either images, or train and test")
        if any(part.splits for part in (self.train, self.test) if part):
            raise ValueError("splits belong to images; train and test are splits themselves")
        return self


Dataset = Annotated[ArchiveDataset | FolderDataset | FeaturesDataset, Field(discriminator="kind")]


def check_digits(value: str, count: int) -> str:
    """A checksum of so many hexadecimal digits, or an empty one."""
    if value and not re.fullmatch(rf"[0-9a-fA-F]{{{count}}}", value):
        raise ValueError(f"should be {count} hexadecimal digits or empty, not {value!r}")
    return value


def check_md5(value: str) -> str:
    return check_digits(value, 32)


def check_sha256(value: str) -> str:
    return check_digits(value, 64)


class Archive(Section):
    path: str
    urls: tuple[str, ...] = ()
    sha256: str = ""
    md5: str = ""
    by_hand: str = ""
    max_gb: Annotated[float, Field(gt=0)] = 10.0
    max_files: Count = 1_000_000

    good_md5 = field_validator("md5")(check_md5)
    good_sha256 = field_validator("sha256")(check_sha256)

    @field_validator("urls")
    @classmethod
    def urls_are_of_the_web(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not re.match(r"https?://[^/]", url):
                # Cut short, since an address may hold a password.
                raise ValueError(f"should begin with http:// or https://, not {url[:8]!r}")
        return urls


class Data(Section):
    cub: Archive
    reed: Archive
    coco_images: Archive
    coco_annotations: Archive


class World(Section):
    split: Name
    images: Annotated[int, Field(ge=0, strict=True)]
    seed: Seed
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.05
    check: Literal["decode", "names"] = "decode"
    leave_out: tuple[str, ...] = ()
    skip_damaged: Annotated[bool, Field(strict=True)] = False

    no_repeats = field_validator("leave_out")(refuse_repeats)


class Aviary(Section):
    seed: Seed
    species: Annotated[int, Field(ge=2, le=56, strict=True)]
    train_per_class: Annotated[int, Field(ge=2, strict=True)]
    test_per_class: Count
    world_images: Annotated[int, Field(ge=4, strict=True)]
    captions_per_world_image: Count
    bird_share: Annotated[float, Field(ge=0, le=1)]


class Shards(Section):
    """Into how many files features are split."""

    target: Count
    world: Count
    texts: Count


def refuse_no_batch(value: Any) -> Any:
    """The value, where it is a batch size; one sentence in place of pydantic's two on a union."""
    if value != "auto" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ValueError(f"should be auto or a whole number from 1, not {value!r}")
    return value


Batch = Annotated[Count | Literal["auto"], BeforeValidator(refuse_no_batch)]


class BackboneSettings(Section):
    model: str
    pretrained: str
    precision: Literal["fp32", "bf16", "fp16", "auto"]
    image_batch: Batch
    text_batch: Batch
    shards: Shards
    cache: str = "data/backbones"
    sha256: str = ""

    good_sha256 = field_validator("sha256")(check_sha256)


class TextChecks(Section):
    """What every text source has: how check_texts treats its texts."""

    at_least: Count = 1
    naming: Literal["as-is", "removed", "added"] = "as-is"
    template: str = "a photo of a {class_name}, {text}"
    visible_only: Annotated[bool, Field(strict=True)] = False

    @field_validator("template")
    @classmethod
    def template_is_whole(cls, template: str) -> str:
        if fault := fault_of_template(template):
            raise ValueError(fault)
        return template


class CaptionSource(TextChecks):
    kind: Literal["captions"]
    class_names: dict[str, str] = {}
    unit: Literal["caption"] = "caption"


class Prices(Section):
    """USD per million tokens."""

    input: Annotated[float, Field(ge=0)] = 0
    output: Annotated[float, Field(ge=0)] = 0


class LLMSource(TextChecks):
    kind: Literal["llm"]
    unit: Literal["field", "reply"] = "field"
    model: str
    ledger: str
    prompt: str
    fields: tuple[str, ...] = Field(min_length=1)
    replies_per_class: Count
    structured: Literal["auto", "json_schema", "off"] = "off"
    temperature: Annotated[float, Field(ge=0)] | None = None
    max_tokens: Count | None = None
    seed: Seed | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    base_url: str = ""
    key_variable: str = "OPENAI_API_KEY"
    prices: Prices = Field(default_factory=Prices)
    budget_usd: Annotated[float, Field(ge=0)] | None = None
    max_concurrency: Count = 8
    requests_per_minute: Annotated[float, Field(ge=0)] = 0
    tokens_per_minute: Annotated[float, Field(ge=0)] = 0
    other_classes: Literal["refuse", "allow"] = "refuse"
    attempts: Count = 4
    retries: Annotated[int, Field(ge=0, strict=True)] = 8
    backoff: Annotated[float, Field(gt=0)] = 1
    timeout: Annotated[float, Field(gt=0)] = 120

    @field_validator("structured", mode="before")
    @classmethod
    def off_is_a_word(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads a bare off as false

    @field_validator("model")
    @classmethod
    def is_a_model(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*", value):
            raise ValueError(f"should be a model as its endpoint spells it, without spaces, not {value!r}")
        return value

    @field_validator("fields")
    @classmethod
    def are_labels(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            # What `replies.read_label` finds in Markdown.
            if not re.fullmatch(r"[A-Za-z]([A-Za-z /&-]{0,38}[A-Za-z])?", name):
                raise ValueError(f"should be words of letters, 40 characters at most, not {name!r}")
        return refuse_repeats(tuple(name.casefold() for name in value)) and value

    @field_validator("key_variable")
    @classmethod
    def is_a_variable(cls, value: str) -> str:
        # The value is not repeated: somebody may have put the key itself here.
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", value):
            raise ValueError("should be the name of an environment variable, in capitals; never the key itself")
        return value

    @field_validator("base_url")
    @classmethod
    def is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("should be an address that begins with http:// or https:// and ends, as a rule, in /v1")
        if "@" in parts.netloc or parts.query:
            raise ValueError("should hold no password and no key; keys stand in the environment")
        return value

    @field_validator("parameters")
    @classmethod
    def are_named_once(cls, value: dict[str, Any]) -> dict[str, Any]:
        taken = ("model", "messages", "temperature", "max_tokens", "seed", "n", "stream", "response_format")
        if doubled := [name for name in taken if name in value]:
            raise ValueError(f"{doubled[0]} cannot be given here; see the source's other keys")
        return value

    @model_validator(mode="after")
    def budget_has_a_bound(self) -> LLMSource:
        bound = self.max_tokens or self.parameters.get("max_completion_tokens")
        if self.budget_usd is not None and self.prices.output and not bound:
            raise ValueError("budget_usd needs max_tokens, or nobody could say what the requests under way may cost")
        return self

    def request_parameters(self) -> dict[str, Any]:
        """The parameters of a request, which are part of its key; what is not set is not sent."""
        named = {"temperature": self.temperature, "max_tokens": self.max_tokens, "seed": self.seed}
        return {**self.parameters, **{name: value for name, value in named.items() if value is not None}}


class FileSource(TextChecks):
    kind: Literal["file"]
    path: str
    per: Literal["class", "image"] = "class"
    fields: tuple[str, ...] = ()
    class_column: str = "class"
    image_column: str = "image"
    field_column: str = "field"
    text_column: str = "text"
    class_names: dict[str, str] = {}
    others: Literal["refuse", "leave-out"] = "refuse"

    no_repeats = field_validator("fields")(refuse_repeats)


class FeatureSource(Section):
    kind: Literal["features"]
    path: str
    classes: str = ""
    texts: str = ""
    fields: str = ""
    image_ids: str = ""
    class_names: dict[str, str] = {}


Source = Annotated[CaptionSource | LLMSource | FileSource | FeatureSource, Field(discriminator="kind")]


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
    values: dict[str, tuple[Annotated[float, Field(gt=0)], ...]] = {}

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


class AdapterSettings(Section):
    budget: Budget
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
    budget: Budget | None = None
    amount: Count | None = None

    no_repeats = field_validator("sources", "recipes")(refuse_repeats)

    @model_validator(mode="after")
    def recipes_redraw(self) -> Variant:
        refuse_redraw(self.recipes, self.redraw)
        return self

    @model_validator(mode="after")
    def a_budget_has_an_amount(self) -> Variant:
        if self.budget and not self.amount:
            raise ValueError(f"budget is {self.budget} without amount; say how many {self.budget}")
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

    @model_validator(mode="after")
    def recipes_have_cells(self) -> Sweep:
        for number, variant in enumerate(self.variants):
            for name in variant.recipes:
                recipe = RECIPES[name]
                if not any(recipe.does(ratio, s != "none") for ratio in self.ratios for s in variant.sources):
                    needs = ["the source none and a ratio above 0"] if recipe.images_alone else []
                    needs += [f"a text source and ratio {0 if recipe.prompts else 'below 100'}"] if recipe.texts else []
                    raise ValueError(
                        f"variants.{number}: recipe '{name}' has no cell with sources {', '.join(variant.sources)} "
                        f"and ratios {', '.join(map(str, self.ratios))}; it needs {' or '.join(needs)}"
                    )
        return self


class SamplingStudy(Section):
    ratios: tuple[Ratio, ...] = Field(min_length=1)
    samplings: tuple[Sampling, ...] = Field(min_length=1)
    redraws: tuple[Redraw, ...] = Field(min_length=1)
    steps: tuple[Count, ...]
    epochs: tuple[Count, ...]
    tolerance: Annotated[float, Field(gt=0)]

    no_repeats = field_validator("ratios", "samplings", "redraws", "steps", "epochs")(refuse_repeats)

    @model_validator(mode="after")
    def some_budget(self) -> SamplingStudy:
        if not self.steps and not self.epochs:
            raise ValueError("neither steps nor epochs names a budget to try")
        return self

    @property
    def budgets(self) -> list[tuple[Budget, int]]:
        """Every budget that is tried, with its amount."""
        return [("steps", amount) for amount in self.steps] + [("epochs", amount) for amount in self.epochs]


class Conversion(Section):
    translators: tuple[Name, ...]
    classes: Count

    no_repeats = field_validator("translators")(refuse_repeats)


class Threads(Section):
    encode: Count
    translator: Count
    adapter: Count


class Config(Section):
    dataset: Dataset
    results: str
    language: Literal["en", "ja"]
    data: Data
    world: World
    aviary: Aviary
    backbone: BackboneSettings
    texts: dict[Name, Source]
    translators: dict[Name, Translator]
    adapter: AdapterSettings
    sweep: Sweep
    sampling_study: SamplingStudy
    conversion: Conversion
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
        for name in self.conversion.translators:
            if name not in self.translators:
                raise ValueError(f"conversion: unknown translator '{name}'; known are {', '.join(self.translators)}")
        if "none" in self.texts:
            raise ValueError("texts.none: 'none' means image only and cannot name a text source")
        if "none" in self.translators:
            raise ValueError("translators.none: 'none' means image only and cannot name a translator")
        if RAW in self.translators and self.translators[RAW].kind != "identity":
            raise ValueError(f"translators.{RAW}: that name is kept for kind identity")
        if taken := [name for name in self.texts if name == NAMES or name.endswith(WITH_NAMES)]:
            raise ValueError(f"texts.{taken[0]}: such a name is kept for the texts that are made of class names")
        return self

    @model_validator(mode="after")
    def features_go_with_features(self) -> Config:
        given = self.dataset.kind == "features"
        for source in dict.fromkeys(source for variant in self.sweep.variants for source in variant.sources):
            if source != "none" and (self.texts[source].kind == "features") != given:
                wanted = "kind features" if given else "another kind than features"
                raise ValueError(
                    f"sweep.variants: text source '{source}' is of kind {self.texts[source].kind}, but with "
                    f"dataset.kind {self.dataset.kind} sources are of {wanted}"
                )
        for name in (self.sweep.translator, *self.sweep.text_only_translators):
            if given and self.translators[name].kind != "identity":
                raise ValueError(
                    f"sweep: translator '{name}' is trained on encoded pairs; with dataset.kind features "
                    "add `translators: {identity: {kind: identity}}` and name that"
                )
        return self

    @model_validator(mode="after")
    def no_cell_twice(self) -> Config:
        cells = [
            f"{v.sampling} {v.redraw} {self.name_budget(v.budget, v.amount)} {recipe} {source}"
            for v in self.sweep.variants
            for recipe in v.recipes
            for source in v.sources
        ]
        if twice := repeated(cells):
            raise ValueError(f"sweep.variants: lists {twice[0]} twice")
        return self

    def name_budget(self, budget: str | None = None, amount: int | None = None) -> str:
        """A budget as a part of a path: `epochs-100`; the adapter's own, which is also the default, has no number."""
        own = self.adapter
        chosen = (budget or own.budget, amount or own.amount)
        return own.budget if chosen == (own.budget, own.amount) else f"{chosen[0]}-{chosen[1]}"


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
        # pydantic names the kind of an entry as if it were a key.
        if path[:1] in (["texts"], ["translators"]) and len(path) > 2:
            del path[2]
        if path[:1] == ["dataset"] and len(path) > 1:
            del path[1]
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
