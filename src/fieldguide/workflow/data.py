"""Arguments of the jobs that make records from archives, folders and the user's files of features."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, cast

from fieldguide.aviary.settings import Species
from fieldguide.data.settings import FeaturesDataset, FolderDataset
from fieldguide.workflow.jobs import Jobs, join_options
from fieldguide.workflow.layout import existing
from fieldguide.workflow.links import link_output, link_path


class DataJobs(Jobs):
    """For rules/data.smk, dataset_folder.smk and dataset_features.smk."""

    def archive(self, wildcards: Any) -> str:
        """The raw archive of a data set: rendered, or as configured."""
        if self.layout.is_aviary:
            return self.layout.raw({"cub": "CUB_200_2011.tgz", "reed": "reed_text_c10.tgz"}[wildcards.archive])
        return link_path(getattr(self.config.data, wildcards.archive).path)

    def missing_archives(self) -> dict[str, dict[str, Any]]:
        """Raw archives to download, by name. One that is there is the user's: Snakemake deletes what it will make."""
        names = {"reed": "reed_captions"}
        return {
            names.get(key, key): {**dict(archive), "path": link_output(f"data.{key}.path", archive.path)}
            for key, archive in dict(self.config.data).items()
            if not Path(archive.path).exists()
        }

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
        """The folders that hold the images: their times change when an image comes or goes."""
        dataset = self.folder
        root = Path(dataset.root)
        splits = [] if dataset.table else [root / split for split in dict(dataset.splits).values()]
        classes = [path for split in existing(splits) for path in sorted(Path(split).iterdir()) if path.is_dir()]
        return existing([root, *splits, *classes])

    def image_table(self, wildcards: Any) -> list[str]:
        """The table that lists them, where there is one."""
        return existing([self.folder.table] if self.folder.table else [])

    def table_option(self, wildcards: Any) -> str:
        """The option that names it."""
        return join_options(table=self.folder.table)

    # ---------------------------------------------------------------- features computed elsewhere

    @property
    def given(self) -> FeaturesDataset:
        return cast(FeaturesDataset, self.config.dataset)

    def named_feature_files(self) -> list[tuple[str, str]]:
        """The user's files of image features: the option that takes each, and its path."""
        dataset = self.given
        parts = {"all": dataset.images, "train": dataset.train, "test": dataset.test}
        named = [
            (f"--{option} {part}=", getattr(files, key))
            for part, files in parts.items()
            for key, option in (("path", "features"), ("labels", "labels"), ("splits", "splits"), ("ids", "ids"))
            if files
        ]
        return [(option, file) for option, file in [*named, ("--class-names=", dataset.class_names)] if file]

    def feature_files(self, wildcards: Any) -> list[str]:
        """Those that are there."""
        return existing(file for _, file in self.named_feature_files())

    def feature_options(self, wildcards: Any) -> str:
        """The options that name them."""
        return " ".join(option + shlex.quote(file) for option, file in self.named_feature_files())
