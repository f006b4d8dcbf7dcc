"""The configuration: every key, its type, its bounds and its meaning, composed of each package's settings.

python -m fieldguide.workflow.config config.yaml config/aviary.yaml     checks a merged configuration
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from fieldguide.adapters.recipes.registry import NAMES, RAW, WITH_NAMES
from fieldguide.adapters.settings import AdapterSettings, Sweep, Threads
from fieldguide.aviary.settings import Aviary
from fieldguide.core.errors import FieldguideError, repeated
from fieldguide.core.settings import Name, Section, UserPath, format_error
from fieldguide.data.settings import Data, Dataset, Pairs
from fieldguide.features.settings import BackboneSettings
from fieldguide.tables.settings import Conversion, SamplingStudy
from fieldguide.texts.settings import ControlSource, Source
from fieldguide.translators.settings import Translator


class Published(Section):
    """Figures that others published, and the data set that they are of."""

    figures: UserPath = Field(
        description="A CSV with the columns `image_percent,text_percent,text_source,sampling,study,accuracy`."
    )
    classes: UserPath = Field(
        description="The classes of the data set that they are of, a name a line, as its `classes.txt` has them."
    )


class Config(Section):
    """The whole configuration."""

    dataset: Dataset = Field(description="The labelled images.")
    results: UserPath = Field(
        description="The folder for everything that is made; relative to the folder that Snakemake runs in."
    )
    language: Literal["en", "ja"] = Field(
        description="Of the headings of `report.html`'s tables: `en`, or `ja` for those of the thesis."
        " Everything else is in English."
    )
    data: Data = Field(description="The raw archives; when `dataset.kind` is `aviary` only their limits are read.")
    pairs: Pairs = Field(description="The image/caption pairs that translators learn from.")
    aviary: Aviary = Field(description="The rendered data; read only when `dataset.kind` is `aviary`.")
    backbone: BackboneSettings = Field(description="The frozen image and text encoder.")
    texts: dict[Name, Source] = Field(
        description="Text sources by name; the name is the column's name in the table. `sweep.variants` says which are"
        " used."
    )
    translators: dict[Name, Translator] = Field(description="Translators from text to image features, by name.")
    adapter: AdapterSettings = Field(description="How every cell's adapter is trained.")
    sweep: Sweep = Field(description="Which cells the comparison table has.")
    sampling_study: SamplingStudy = Field(
        description="Which sampling, redraw and budget explain the published figures; made by `everything`."
    )
    conversion: Conversion = Field(
        description="How accurately translators turn texts into images; made by `everything`."
    )
    threads: Threads = Field(
        description="Numeric threads of one job. They are part of the experiment, since sums taken in another order"
        " differ in their last bits."
    )
    published: Published = Field(
        description="Figures to compare with ours where `dataset.kind` is `cub` and the classes are exactly theirs."
    )

    @model_validator(mode="after")
    def names_are_known(self) -> Config:
        known = ["none", *self.texts]
        for variant in self.sweep.variants:
            for source in variant.sources:
                if source not in known:
                    raise ValueError(f"sweep.variants: unknown text source '{source}'; known are {', '.join(known)}")
        for name in self.sweep.controls.sources:
            if name not in self.texts or not isinstance(self.texts[name], ControlSource):
                controls = [name for name, source in self.texts.items() if isinstance(source, ControlSource)]
                raise ValueError(
                    f"sweep.controls.sources: '{name}' is no text source of kind control; those are "
                    f"{', '.join(controls) or 'none'}"
                )
        if unknown := [name for name in self.sweep.leave_out if name not in self.texts]:
            raise ValueError(f"sweep.leave_out: unknown text source '{unknown[0]}'; known are {', '.join(self.texts)}")
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
        if "pairs" in self.texts:
            raise ValueError("texts.pairs: 'pairs' means the captions of the image/caption pairs")
        if taken := [name for name in self.texts if name == NAMES or name.endswith(WITH_NAMES)]:
            raise ValueError(f"texts.{taken[0]}: such a name is kept for the texts that are made of class names")
        return self

    def origin(self, source: str) -> str:
        """The text source whose texts a control is made of; any other source is its own."""
        settings = self.texts[source]
        return settings.of if isinstance(settings, ControlSource) else source

    @model_validator(mode="after")
    def controls_have_a_source(self) -> Config:
        for name, source in self.texts.items():
            if not isinstance(source, ControlSource):
                continue
            if source.of not in self.texts:
                raise ValueError(
                    f"texts.{name}.of: unknown text source '{source.of}'; known are {', '.join(self.texts)}"
                )
            if isinstance(self.texts[source.of], ControlSource):
                raise ValueError(f"texts.{name}.of: '{source.of}' is a control itself; name the source that it is of")
            if self.texts[source.of].kind == "features" and source.control in ("random-words", "name-only"):
                raise ValueError(
                    f"texts.{name}: control {source.control} writes texts, but '{source.of}' is features computed"
                    " elsewhere; take shuffled or family, or bring the features of such texts as a source"
                )
        return self

    @model_validator(mode="after")
    def features_go_with_features(self) -> Config:
        given = self.dataset.kind == "features"
        for source in dict.fromkeys(source for variant in self.sweep.variants for source in variant.sources):
            kind = "" if source == "none" else self.texts[self.origin(source)].kind
            if kind and (kind == "features") != given:
                wanted = "kind features" if given else "another kind than features"
                raise ValueError(
                    f"sweep.variants: text source '{source}' is of kind {kind}, but with "
                    f"dataset.kind {self.dataset.kind} sources are of {wanted}"
                )
        for name in (self.sweep.translator, *self.sweep.text_only_translators):
            if given and self.translators[name].kind != "identity":
                raise ValueError(
                    f"sweep: translator '{name}' is trained on encoded pairs; with dataset.kind features "
                    "add `translators: {identity: {kind: identity}}` and name that"
                )
        return self

    @property
    def added_controls(self) -> tuple[str, ...]:
        """The controls that `everything` adds to the first variant, where it has their own source's cells."""
        controls, first = self.sweep.controls, self.sweep.variants[0]
        if not {*controls.recipes} & {*first.recipes} or not {*controls.ratios} & {*self.sweep.ratios}:
            return ()
        return tuple(name for name in controls.sources if self.origin(name) in first.sources)

    @property
    def published_names(self) -> dict[str, str]:
        """Of every text source of the table the name of its published column, which may have none."""
        used = dict.fromkeys(name for variant in self.sweep.variants for name in variant.sources if name in self.texts)
        return {name: getattr(self.texts[name], "published_as", "") or name for name in used}

    @model_validator(mode="after")
    def no_column_is_claimed_twice(self) -> Config:
        names = self.published_names
        for claimed in repeated(names.values()):
            first, second = [name for name, published in names.items() if published == claimed][:2]
            raise ValueError(
                f"texts.{second}.published_as: {first} and {second} both stand beside the published column {claimed};"
                " leave one of them its own name"
            )
        return self

    @model_validator(mode="after")
    def no_cell_twice(self) -> Config:
        cells = [
            f"{v.sampling} {v.redraw} {self.name_budget(v.budget, v.amount)} {recipe} {source}"
            + (" with all texts" if v.texts == "all" else "")
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


# Keys that had another name once, and what they are called now.
RENAMED = {
    "world": "pairs",
    "backbone.shards.target": "dataset",
    "backbone.shards.world": "pairs",
    "aviary.world_images": "pair_images",
    "aviary.captions_per_world_image": "captions_per_pair_image",
}


def has_key(config: Any, path: str) -> bool:
    for key in path.split("."):
        if not isinstance(config, Mapping) or key not in config:
            return False
        config = config[key]
    return True


def check_config(config: Mapping[str, Any]) -> Config:
    """The configuration as typed records; raises FieldguideError with one line on the first thing that is wrong."""
    if old := [path for path in RENAMED if has_key(config, path)]:
        raise FieldguideError(f"config: {old[0]} is now called {RENAMED[old[0]]}; see config/README.md")
    try:
        return Config.model_validate(dict(config))
    except ValidationError as failure:
        raise FieldguideError(f"config: {format_error(failure)}; see config/README.md") from None


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
        "python -m fieldguide.workflow.config",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, help="configuration files, later ones override")
    args = parser.parse_args(argv)
    merged: dict[str, Any] = {}
    try:
        for file in args.files:
            merge(merged, read_yaml(file))
        check_config(merged)
    except (FieldguideError, OSError) as error:
        sys.exit(f"config: error: {error}")


if __name__ == "__main__":
    main()
