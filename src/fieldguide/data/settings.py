"""The settings of data: the labelled data set, the raw archives and the image/caption pairs, and what its stages take.

A stage's settings are the part of the configuration that it reads: what it does not read makes nothing run again.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from fieldguide.core.settings import Count, Name, Section, Seed, UserPath, check_md5, check_sha256, refuse_repeats

# ---------------------------------------------------------------- archives


class ArchiveLimits(Section):
    """How much an archive may hold."""

    max_gb: Annotated[float, Field(gt=0)] = Field(
        default=10.0,
        description="The archive is refused when it unpacks to more (10^9 bytes; everything in it counts, whatever its"
        " headers say), since small archives can be made to fill a disk; a zip that is read in place is held to it"
        " too.",
    )
    max_files: Count = Field(default=1_000_000, description="It is refused when it holds more files and folders.")


class ArchiveSource(Section):
    """Where an archive is fetched from, and how it is known to be the right one."""

    urls: tuple[str, ...] = Field(
        default=(),
        description="Where to fetch it when `path` is not there: `http://` or `https://`, tried in order. Each is tried"
        " again while it is busy or breaks (429, 5xx, time-outs), and left for the next when it has no such file,"
        " serves a web page, or its checksum is wrong. An address that a broken download came from goes first.",
    )
    sha256: str = Field(
        default="",
        description="Published SHA-256, verified after the download; without a checksum, only that it is a zip or tar"
        " is.",
    )
    md5: str = Field(default="", description="Published MD5, verified in the same way.")
    by_hand: str = Field(default="", description="What the user is asked to do when no address serves it.")

    good_md5 = field_validator("md5")(check_md5)
    good_sha256 = field_validator("sha256")(check_sha256)


class Archive(ArchiveLimits, ArchiveSource):
    """A raw archive."""

    path: UserPath = Field(
        description="The archive, or a folder already unpacked; what is there is used and never changed. CUB must hold"
        " `CUB_200_2011/`, Reed `text_c10/`; COCO's images are read from the zip in place. Pairs of your own: a folder"
        " for `coco_images`, a CSV with `path,caption` for `coco_annotations`."
    )

    @field_validator("urls")
    @classmethod
    def urls_are_of_the_web(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not re.match(r"https?://[^/]", url):
                # Cut short, since an address may hold a password.
                raise ValueError(f"should begin with http:// or https://, not {url[:8]!r}")
        return urls


class Data(Section):
    """The four raw archives; when `dataset.kind` is `aviary` only the limits are read."""

    cub: Archive = Field(description="The images of CUB-200-2011 with their classes and split.")
    reed: Archive = Field(description="Reed's captions of them.")
    coco_images: Archive = Field(description="The images of the image/caption pairs.")
    coco_annotations: Archive = Field(description="Their captions.")


class RetryPolicy(Section):
    """When a download gives an address up."""

    retries: Annotated[int, Field(ge=0)] = Field(
        default=6, description="Failures in a row without a byte received, after which an address is given up."
    )
    timeout: Annotated[float, Field(gt=0)] = Field(
        default=60.0, description="Seconds without a byte, after which a connection counts as broken."
    )
    backoff: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="Unit of the waits in seconds: 0, 2, 4, 8, … times this, two minutes at most."
    )
    longest_wait: Annotated[int, Field(ge=0)] = Field(
        default=600, description="The most seconds that a server's Retry-After is obeyed."
    )


class DownloadSettings(ArchiveSource):
    """What `download_archive` takes."""

    retry: RetryPolicy = Field(default=RetryPolicy(), description="When an address is given up.")


# ---------------------------------------------------------------- the labelled images


class ImageSelection(Section):
    """Which images a stage that lists them does without; what `index_images` takes."""

    leave_out: tuple[str, ...] = Field(
        default=(),
        description="Images to leave out, damaged or not, named as in `images.txt` (of the pairs: as in the"
        " annotations), or by their path below `root` (folder); a name that is not there is refused.",
    )
    skip_damaged: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        description="`false`: an image that does not open stops the run; `true`: such images are left out. Either way"
        " each is named in the log and listed with its reason in `records/images.damaged.csv` (of the pairs, for"
        " `check: decode`: `records/pairs.damaged.csv`).",
    )

    no_repeats = field_validator("leave_out")(refuse_repeats)


class DatasetSection(ImageSelection):
    """What every kind of labelled data set has."""

    name: Name = Field(description="Names `results/<name>/`.")
    note: str = Field(default="", description="A sentence to stand above the tables.")
    thing: Annotated[str, StringConstraints(pattern=r"^\w[\w -]*$")] = Field(
        default="bird",
        description="What the images show, such as `bird`: the noun for a class name that is taken out of a text.",
    )
    not_visible: UserPath = Field(
        default="workflow/resources/not_visible.txt",
        description="The lexicon by which sentences about what no photograph shows are known: words under `[sound]`,"
        " `[habitat]`, `[behaviour]`, `[range]`, `[diet]`, and `[visible]` for what one does show; edit it, or name a"
        " file of your own.",
    )


KIND = (
    "`cub`: the archives of CUB, Reed and COCO as they are; `aviary`: the same archives, rendered first; `folder`:"
    " images of your own; `features`: features that were computed elsewhere."
)


class ArchiveDataset(DatasetSection):
    """CUB, or the aviary, which is rendered in its layout."""

    kind: Literal["cub", "aviary"] = Field(description=KIND)


class Splits(Section):
    """What the user's folders or table call the splits."""

    train: str = Field(default="train", description="Name of the training split in the folders or the table.")
    test: str = Field(default="test", description="Name of the test split in the folders or the table.")


class FolderSettings(ImageSelection):
    """What `index_folder` takes."""

    splits: Splits = Field(
        default=Splits(),
        description="What the folders or the table call `train` and `test`, as `{train: training, test: val}`.",
    )
    classes: Literal["folder", "path"] = Field(
        default="folder",
        description="What is a class, without `table`: `folder`: each folder of a split, with all that lies deeper;"
        " `path`: each folder that holds images, called by its whole path, as `Finches/Red Finch`.",
    )


class FolderDataset(FolderSettings, DatasetSection):
    """Images of the user's own."""

    kind: Literal["folder"] = Field(description=KIND)
    root: UserPath = Field(
        description="The folder of the images; only read. `<root>/<split>/<class>/…`, or any layout with `table`."
    )
    table: UserPath = Field(
        default="",
        description="A CSV or TSV with the columns `path` (relative to `root`), `class`, `split` and, if wanted,"
        " `image_id`; without ids the path is the id.",
    )

    @model_validator(mode="after")
    def names_classes_once(self) -> FolderDataset:
        if self.table and self.classes == "path":
            raise ValueError("classes: path is for folders; a table names the classes itself")
        return self


class FeatureFile(Section):
    """A file of image features; what it lacks of labels, splits and ids is named as a file of its own."""

    path: UserPath = Field(description="The features, `.npz`, `.safetensors` or `.npy`.")
    labels: UserPath = Field(default="", description="The images' labels, where they are a file of their own.")
    splits: UserPath = Field(default="", description="The images' splits, where they are a file of their own.")
    ids: UserPath = Field(default="", description="The images' ids, where they are a file of their own.")


class FeaturesDataset(DatasetSection):
    """Image features that were computed elsewhere."""

    kind: Literal["features"] = Field(description=KIND)
    images: FeatureFile | None = Field(
        default=None,
        description="One file for all images: `path` and, where they are files of their own, `labels`, `splits`,"
        " `ids`.",
    )
    train: FeatureFile | None = Field(
        default=None,
        description="Instead of `images`, a file for each split, as `{path: train.npy, labels: train_labels.npy}`.",
    )
    test: FeatureFile | None = Field(default=None, description="The same for the test images.")
    class_names: UserPath = Field(
        default="",
        description="A `.txt` (a name a line) or `.npy` of class names, for labels that are numbers.",
    )

    @model_validator(mode="after")
    def has_both_splits(self) -> FeaturesDataset:
        given = {part for part in ("images", "train", "test") if getattr(self, part)}
        if given not in ({"images"}, {"train", "test"}):
            raise ValueError("give either images, or train and test")
        if any(part.splits for part in (self.train, self.test) if part):
            raise ValueError("splits belong to images; train and test are splits themselves")
        return self


Dataset = Annotated[ArchiveDataset | FolderDataset | FeaturesDataset, Field(discriminator="kind")]


# ---------------------------------------------------------------- image/caption pairs


class PairSelection(ImageSelection):
    """Which image/caption pairs are taken."""

    split: Name = Field(description="Folder in the image archive, and `captions_<split>.json` in the annotations.")
    images: Annotated[int, Field(ge=0, strict=True)] = Field(
        description="Number of images to take, 0 for all; a larger number adds images and removes none."
    )
    seed: Seed = Field(description="Which images, when not all.")
    check: Literal["decode", "names"] = Field(
        default="decode",
        description="`decode`: every image taken is decoded before anything is encoded; `names`: only looked for, which"
        " saves the time of one decoding, and an image that does not open stops `encode_images` by name.",
    )


class Pairs(PairSelection):
    """The image/caption pairs that translators learn from."""

    test_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.05,
        description="Share of the images, chosen by a hash of their names, that no translator learns from: conversion"
        " accuracy is measured on them.",
    )


class PairStageSettings(PairSelection):
    """What `index_pairs` takes."""

    exclude: str = Field(
        default="",
        description="A regular expression: every image of which a caption matches, in any case, is left out.",
    )
    image_limits: ArchiveLimits = Field(default=ArchiveLimits(), description="What the archive of images may hold.")
    annotation_limits: ArchiveLimits = Field(
        default=ArchiveLimits(), description="What the archive of captions may hold."
    )
