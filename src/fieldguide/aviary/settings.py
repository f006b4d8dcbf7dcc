"""The configuration of the aviary, the rendered data."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fieldguide.core.settings import Count, Section, Seed


class Species(Section):
    """Which species there are."""

    seed: Seed = Field(
        description="Another seed is another aviary: other species, other photographs. The shipped ledger of LLM texts"
        " is for seed 0; `python -m fieldguide.aviary.write_ledger` writes one for another."
    )
    species: Annotated[int, Field(ge=2, le=56, strict=True)] = Field(
        description="Classes, in families of four; 56 at most."
    )


class Aviary(Species):
    """The size of the rendered data, and its seed."""

    train_per_class: Annotated[int, Field(ge=2, strict=True)] = Field(
        description="Training photographs of a class; every fifth class has one fewer."
    )
    test_per_class: Count = Field(description="Test photographs of a class.")
    pair_images: Annotated[int, Field(ge=4, strict=True)] = Field(description="Images of the pairs (its COCO).")
    captions_per_pair_image: Count = Field(description="Captions of each of them.")
    bird_share: Annotated[float, Field(ge=0, le=1)] = Field(
        description="Share of the pairs' images that show a bird, never one of the classes."
    )
