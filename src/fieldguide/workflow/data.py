"""Arguments of the jobs that make records from archives, folders and the user's files of features."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from fieldguide.aviary.settings import Species
from fieldguide.data.image_store import FolderStore, format_name
from fieldguide.data.settings import (
    ArchiveLimits,
    ArchiveSource,
    FeaturesDataset,
    FolderDataset,
    FolderSettings,
    ImageSelection,
    PairSelection,
    PairStageSettings,
)
from fieldguide.workflow.jobs import Jobs, dump_part
from fieldguide.workflow.layout import existing
from fieldguide.workflow.links import link_output, link_path


class DataJobs(Jobs):
    """For rules/data.smk, dataset_folder.smk and dataset_features.smk."""

    def archive(self, wildcards: Any) -> str:
        """The raw archive of a data set: rendered, or as configured."""
        if self.layout.is_aviary:
            return self.layout.raw({"cub": "CUB_200_2011.tgz", "reed": "reed_text_c10.tgz"}[wildcards.archive])
        return link_path(getattr(self.config.data, wildcards.archive).path)

    def missing_archives(self) -> dict[str, str]:
        """Raw archives to download: the key of each by its rule's name. What is there is the user's, and never made."""
        names = {"reed": "reed_captions"}
        archives = dict(self.config.data)
        return {names.get(key, key): key for key, archive in archives.items() if not Path(archive.path).exists()}

    def download_path(self, key: str) -> str:
        """Where a raw archive goes."""
        return link_output(f"data.{key}.path", getattr(self.config.data, key).path)

    def download_paths(self) -> list[str]:
        """The same of all that are missing; raises FieldguideError for a name that cannot be made."""
        return [] if self.layout.is_aviary else [self.download_path(key) for key in self.missing_archives().values()]

    def download_settings(self, key: str) -> Callable[[Any], str]:
        """Where it comes from, as a params function."""
        text = dump_part(getattr(self.config.data, key), ArchiveSource)
        return lambda wildcards: text

    def unpack_settings(self, wildcards: Any) -> str:
        """How much a raw archive may hold."""
        return dump_part(getattr(self.config.data, wildcards.archive), ArchiveLimits)

    def image_settings(self, wildcards: Any) -> str:
        """Which labelled images are taken, and what the user's own folders call the splits."""
        kind = FolderSettings if isinstance(self.config.dataset, FolderDataset) else ImageSelection
        return dump_part(self.config.dataset, kind)

    def pair_settings(self, wildcards: Any) -> str:
        """Which pairs are taken, and how much their archives may hold."""
        archives = self.config.data
        return PairStageSettings(
            **self.config.pairs.model_dump(include=set(PairSelection.model_fields)),
            image_limits=ArchiveLimits(max_gb=archives.coco_images.max_gb, max_files=archives.coco_images.max_files),
            annotation_limits=ArchiveLimits(
                max_gb=archives.coco_annotations.max_gb, max_files=archives.coco_annotations.max_files
            ),
        ).model_dump_json()

    def pair_images(self, wildcards: Any = None) -> str:
        """The pairs' images: a zip read in place, or a folder."""
        if self.layout.is_aviary:
            return self.layout.raw("train2017.zip")
        return link_path(self.config.data.coco_images.path)

    def pair_annotations(self, wildcards: Any = None) -> str:
        """The pairs' captions."""
        if self.layout.is_aviary:
            return self.layout.raw("annotations_trainval2017.zip")
        return link_path(self.config.data.coco_annotations.path)

    # ---------------------------------------------------------------- the aviary

    def aviary_settings(self, wildcards: Any) -> str:
        """What the aviary is made of."""
        return self.config.aviary.model_dump_json()

    def species_settings(self, wildcards: Any) -> str:
        """Which species it has."""
        return self.config.aviary.model_dump_json(include=set(Species.model_fields))

    # ---------------------------------------------------------------- a folder of images

    @property
    def folder(self) -> FolderDataset:
        return cast(FolderDataset, self.config.dataset)

    def image_folders(self, wildcards: Any) -> list[str]:
        """The folders that hold the images: their times change when an image comes or goes.

        Of a name that is not UTF-8, which Snakemake cannot write down, and of a folder that cannot be read the stage
        says what to do.
        """
        dataset = self.folder
        root = Path(dataset.root)
        splits = [] if dataset.table else [root / split for split in dict(dataset.splits).values()]
        found = [root]
        for split in map(Path, existing(splits)):
            with contextlib.suppress(OSError):
                found += sorted(split / folder for folder, _ in FolderStore(split).walk())
        return existing(path for path in found if format_name(str(path)) == str(path))

    def image_table(self, wildcards: Any) -> list[str]:
        """The table that lists them, where there is one."""
        return existing([self.folder.table] if self.folder.table else [])

    def image_root(self, wildcards: Any) -> str:
        return self.folder.root

    def table_words(self, wildcards: Any) -> list[str]:
        """The option that names the table, and its path; nothing where there is none."""
        return ["--table", self.folder.table] if self.folder.table else []

    # ---------------------------------------------------------------- features computed elsewhere

    @property
    def given(self) -> FeaturesDataset:
        return cast(FeaturesDataset, self.config.dataset)

    def named_feature_files(self) -> list[tuple[str, ...]]:
        """The user's files of image features, each as a job's command line names it; the path comes last."""
        dataset = self.given
        parts = {"all": dataset.images, "train": dataset.train, "test": dataset.test}
        options = {"path": "--features", "labels": "--labels", "splits": "--splits", "ids": "--ids"}
        named: list[tuple[str, ...]] = [
            (option, part, getattr(files, key))
            for part, files in parts.items()
            for key, option in options.items()
            if files
        ]
        return [words for words in (*named, ("--class-names", dataset.class_names)) if words[-1]]

    def feature_files(self, wildcards: Any) -> list[str]:
        """Those that are there."""
        return existing(words[-1] for words in self.named_feature_files())

    def feature_words(self, wildcards: Any) -> list[str]:
        """The options that name them."""
        return [word for words in self.named_feature_files() for word in words]
