"""Where everything lies: each path of the configuration and of the results folder, as rules name it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fieldguide.adapters.recipes.registry import NAMES, RAW, RECIPES, WITH_NAMES
from fieldguide.core.errors import FieldguideError
from fieldguide.features.backbone import LOCAL, backbone_key, given_key
from fieldguide.texts.settings import ControlSource
from fieldguide.translators.registry import TRANSLATORS, kinds_of
from fieldguide.workflow.config import Config
from fieldguide.workflow.links import link_folder, link_path

SHARD = "shard-{shard}-of-{shards}"
BESIDE = "-all-texts"
"""Ends the folder of cells that have the texts of all images beside those that stay: `fixed-all-texts`."""
CELL = "{translator}/{recipe}/{budget}/{source}/{sampling}/{redraw}/ratio-{ratio}"


def existing(paths: Iterable[str | Path]) -> list[str]:
    """Those paths that exist, as inputs; of what is missing the stage itself says more than Snakemake."""
    return [link_path(str(path)) for path in paths if Path(path).exists()]


@dataclass(frozen=True)
class Layout:
    """The paths of one configuration, seen from the folder where the workflow runs.

    `checkout` is the folder of this repository. A name that a method takes may be a wildcard, such as "{source}": then
    the answer is a pattern. Whatever the user named, rules can take the answers as they are: see `links`.
    """

    config: Config
    checkout: Path

    # ---------------------------------------------------------------- what the configuration names

    def resource(self, path: str) -> str:
        """A path of the configuration: as it is, or in the checkout when the workflow runs in another folder."""
        return path if Path(path).exists() or not (self.checkout / path).exists() else str(self.checkout / path)

    def checkout_file(self, path: str) -> str:
        """A file of the checkout, relative where the workflow runs in it: a moved folder makes nothing run again."""
        whole = self.checkout / path
        return link_path(str(whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole))

    @property
    def source(self) -> Path:
        """Where the package lies that jobs run."""
        return self.checkout / "src"

    @cached_property
    def is_aviary(self) -> bool:
        return self.config.dataset.kind == "aviary"

    @cached_property
    def model(self) -> str:
        """The backbone's model as open_clip takes it, a local folder found wherever the workflow runs."""
        model = self.config.backbone.model
        return LOCAL + self.resource(model.removeprefix(LOCAL)) if model.startswith(LOCAL) else model

    @cached_property
    def backbone(self) -> str:
        """The key of the features' folder: of the backbone, or of the files where features were computed elsewhere.

        Raises FieldguideError where the backbone's files are not there.
        """
        if self.config.dataset.kind == "features":
            return given_key(self.config.dataset.model_dump(exclude={"name", "note"}))
        backbone = self.config.backbone
        return backbone_key(self.model, backbone.pretrained, backbone.precision, backbone.preprocessing)

    # ---------------------------------------------------------------- the results folder

    @cached_property
    def folder(self) -> Path:
        """The folder of this data set's results, as it is called; `./results` and `results//x` are written one way."""
        return Path(self.config.results, self.config.dataset.name)

    @cached_property
    def results(self) -> str:
        """The same as rules name it."""
        return link_folder(self.folder.as_posix())

    def refuse_file(self) -> None:
        """Raises FieldguideError where a file stands in place of the results folder, one above it, or Snakemake's."""
        notes = Path(".snakemake")
        if notes.exists() and not notes.is_dir():
            raise FieldguideError(f"{notes.resolve()} is a file, so Snakemake cannot keep its notes; take it away")
        for folder in (self.folder, *self.folder.parents):
            if os.path.exists(folder) and not folder.is_dir():  # noqa: PTH110  # where we may not look, the lock says so
                raise FieldguideError(
                    f"config: results: {folder} is a file, so {self.folder} cannot be made; name another folder"
                )

    def refuse_earlier(self) -> None:
        """Raises FieldguideError where the folder was made before features of pairs were kept apart as `pairs`."""
        earlier = ["images/target", "images/world"]
        earlier += ["texts/world"] if "world" not in self.config.texts else []  # a source of that name has it too
        if found := [path for name in earlier for path in sorted(self.folder.glob(f"features/*/{name}"))]:
            raise FieldguideError(
                f"{found[0]}: an earlier version made this folder, and its results cannot be used by this version; name"
                " another folder by `results` in the configuration, or take this one away"
            )

    def log(self, rule: str, name: str = "all") -> str:
        return f"{self.results}/logs/{rule}/{name}.log"

    def benchmark(self, rule: str, name: str = "all") -> str:
        return f"{self.results}/benchmarks/{rule}/{name}.tsv"

    def raw(self, name: str) -> str:
        """A file of the rendered aviary."""
        return f"{self.results}/raw/{name}"

    def unpacked(self, archive: str) -> str:
        return f"{self.results}/unpacked/{archive}"

    @property
    def image_records(self) -> str:
        """The labelled images with class and split."""
        return f"{self.results}/records/images.csv"

    @property
    def class_records(self) -> str:
        return f"{self.results}/records/classes.csv"

    @property
    def pair_records(self) -> str:
        """The image/caption pairs that translators learn from."""
        return f"{self.results}/records/pairs.csv"

    @property
    def published(self) -> str:
        """The published figures that are of this data set."""
        return f"{self.results}/records/published.csv"

    def raw_texts(self, source: str) -> str:
        """A source's texts as they came."""
        return f"{self.results}/texts/raw/{source}.csv"

    def texts(self, source: str) -> str:
        """A source's texts, checked."""
        return f"{self.results}/texts/{source}.csv"

    def text_page(self, source: str) -> str:
        return f"{self.results}/texts/{source}.md"

    def feature_shard(self, folder: str, shard: str = SHARD) -> str:
        """One file of features: `folder` is images/… or texts/…."""
        return f"{self.results}/features/{self.backbone}/{folder}/{shard}.safetensors"

    def shards(self, folder: str, count: int) -> list[str]:
        """The files of all shards of a set of features, in order; features computed elsewhere are one."""
        count = 1 if self.config.dataset.kind == "features" else count
        numbers = range(1, count + 1)
        return [self.feature_shard(folder, SHARD.format(shard=number, shards=count)) for number in numbers]

    def image_features(self, images: str) -> list[str]:
        """The image features of the data set or of the pairs, all shards."""
        return self.shards(f"images/{images}", getattr(self.config.backbone.shards, images))

    def text_features(self, texts: str) -> list[str]:
        """The text features of a source or of the pairs, all shards."""
        counts = self.config.backbone.shards
        return self.shards(f"texts/{texts}", counts.pairs if texts == "pairs" else counts.texts)

    def translator(self, name: str, file: str = "translator.safetensors") -> str:
        """A file of a fitted translator."""
        return f"{self.results}/translators/{self.backbone}/{name}/{file}"

    def translated(self, translator: str, source: str) -> str:
        """A source's text features as the image features they would have had."""
        return f"{self.results}/translated/{self.backbone}/{translator}/{source}.safetensors"

    def conversion(self, translator: str) -> str:
        """A translator's conversion accuracy."""
        return f"{self.results}/conversion/{self.backbone}/{translator}.json"

    def plan(self, sampling: str) -> str:
        return f"{self.results}/plans/{sampling}.json"

    def tuning(self, translator: str, recipe: str, budget: str) -> str:
        """The chosen hyper-parameters of a recipe."""
        return f"{self.results}/tuning/{self.backbone}/{translator}/{recipe}/{budget}.json"

    @property
    def cells(self) -> str:
        """The folder of all cells."""
        return f"{self.results}/adapters/{self.backbone}"

    def cell_file(self, cell: str = CELL, ending: str = "json") -> str:
        return f"{self.cells}/{cell}.{ending}"

    def table(self, name: str) -> str:
        return f"{self.results}/tables/{name}"

    def figure(self, name: str) -> str:
        return f"{self.results}/figures/{name}"

    @property
    def report(self) -> str:
        return f"{self.results}/report.html"

    @property
    def photographs(self) -> list[str]:
        """Where the labelled images lie; none where features were computed elsewhere."""
        folder = getattr(self.config.dataset, "root", self.unpacked("cub"))
        return [] if self.config.dataset.kind == "features" else [link_path(folder)]

    # ---------------------------------------------------------------- names that the configuration gives

    @property
    def prompts(self) -> list[str]:
        """Text tables that are made of class names."""
        return [NAMES, *(f"{source}{WITH_NAMES}" for source in self.config.texts)]

    @cached_property
    def sources(self) -> list[str]:
        """The text sources that the table uses, in order of appearance."""
        named = [source for variant in self.config.sweep.variants for source in variant.sources]
        return [source for source in dict.fromkeys(named) if source != "none"]

    @property
    def controls(self) -> dict[str, tuple[str, str]]:
        """The controls whose own source stands in the table: by name, that source and the kind of control."""
        named = {name: self.config.texts[name] for name in (*self.sources, *self.config.added_controls)}
        return {
            name: (source.of, source.control)
            for name, source in named.items()
            if isinstance(source, ControlSource) and source.of in self.sources
        }

    def sources_of(self, *kinds: str) -> list[str]:
        """The configured text sources of these kinds."""
        return [name for name, source in self.config.texts.items() if source.kind in kinds]

    def translators_of(self, rule: str) -> list[str]:
        """The translators that a rule fits."""
        return [name for name, settings in self.config.translators.items() if settings.kind in kinds_of(rule)]

    def translator_kind(self, name: str) -> str:
        """A translator's kind; the texts as they are need no entry in the configuration."""
        return self.config.translators[name].kind if name in self.config.translators else RAW

    def fitted_translator(self, name: str) -> list[str]:
        """The file of a fitted translator; none for one that learns nothing."""
        return [self.translator(name)] if TRANSLATORS[self.translator_kind(name)].rule else []

    # ---------------------------------------------------------------- cells

    def cell(
        self,
        translator: str,
        source: str,
        sampling: str,
        redraw: str,
        ratio: int,
        recipe: str = "thesis",
        budget: str | None = None,
        amount: int | None = None,
        texts: str = "replaced",
    ) -> str:
        """The result file of one cell; without text, or with texts as they are, there is no translator. The adapter's
        own budget needs no number. Without images, or without text, all texts are those that replace images.
        """
        beside = texts == "all" and source != "none" and ratio > 0
        cell = CELL.format(
            translator=translator if source != "none" and RECIPES[recipe].translates else "none",
            recipe=recipe,
            budget=self.config.name_budget(budget, amount),
            source=source,
            sampling=sampling,
            redraw=redraw + BESIDE if beside else redraw,
            ratio=ratio,
        )
        return self.cell_file(cell)


def either(names: Iterable[str]) -> str:
    """A wildcard's constraint: one of these names; no name fits where there is none."""
    return "|".join(re.escape(name) for name in names) or "(?!)"
