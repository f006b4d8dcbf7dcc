"""The configuration of the rendered world."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fieldguide.core.settings import Count, Section, Seed


class Aviary(Section):
    seed: Seed
    species: Annotated[int, Field(ge=2, le=56, strict=True)]
    train_per_class: Annotated[int, Field(ge=2, strict=True)]
    test_per_class: Count
    world_images: Annotated[int, Field(ge=4, strict=True)]
    captions_per_world_image: Count
    bird_share: Annotated[float, Field(ge=0, le=1)]
