"""The configuration of data: the labelled data set, the raw archives and the image/caption pairs."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from fieldguide.core.settings import Count, Name, Section, Seed, UserPath, check_md5, check_sha256, refuse_repeats


class DatasetSection(Section):
    name: Name
    note: str = ""
    leave_out: tuple[str, ...] = ()
    skip_damaged: Annotated[bool, Field(strict=True)] = False
    thing: Annotated[str, StringConstraints(pattern=r"^\w[\w -]*$")] = "bird"
    not_visible: UserPath = "workflow/resources/not_visible.txt"

    no_repeats = field_validator("leave_out")(refuse_repeats)

class ArchiveDataset(DatasetSection):
    kind: Literal["cub", "aviary"]

class Splits(Section):
    train: str = "train"
    test: str = "test"

class FolderDataset(DatasetSection):
    kind: Literal["folder"]
    root: UserPath
    table: UserPath = ""
    splits: Splits = Splits()

class FeatureFile(Section):
    path: UserPath
    labels: UserPath = ""
    splits: UserPath = ""
    ids: UserPath = ""

class FeaturesDataset(DatasetSection):
    kind: Literal["features"]
    images: FeatureFile | None = None
    train: FeatureFile | None = None
    test: FeatureFile | None = None
    class_names: UserPath = ""

    @model_validator(mode="after")
    def has_both_splits(self) -> FeaturesDataset:
        given = {part for part in ("images", "train", "test") if getattr(self, part)}
        if given not in ({"images"}, {"train", "test"}):
            raise ValueError("give either images, or train and test")
        if any(part.splits for part in (self.train, self.test) if part):
            raise ValueError("splits belong to images; train and test are splits themselves")
        return self
Dataset = Annotated[ArchiveDataset | FolderDataset | FeaturesDataset, Field(discriminator="kind")]

class Archive(Section):
    path: UserPath
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

class Pairs(Section):
    split: Name
    images: Annotated[int, Field(ge=0, strict=True)]
    seed: Seed
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.05
    check: Literal["decode", "names"] = "decode"
    leave_out: tuple[str, ...] = ()
    skip_damaged: Annotated[bool, Field(strict=True)] = False

    no_repeats = field_validator("leave_out")(refuse_repeats)
