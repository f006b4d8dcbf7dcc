"""Arguments of the jobs that encode images and texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fieldguide.features.backbone import backbone_key, is_downloaded, manifest_path
from fieldguide.features.settings import BackboneDownload, Batch, EncoderSettings
from fieldguide.features.tokenizer import DEFAULT_CLIP, tokenizer_files, tokenizer_model
from fieldguide.workflow.data import DataJobs
from fieldguide.workflow.jobs import Jobs, dump_part
from fieldguide.workflow.links import link_output, link_path


class FeatureJobs(Jobs):
    """For rules/features.smk, and what texts.smk asks about the tokenizer."""

    def manifest(self) -> list[str]:
        """What says that the backbone's weights were downloaded; none where they are on this disk anyway."""
        backbone = self.config.backbone
        if not is_downloaded(self.layout.model, backbone.pretrained):
            return []
        # What is downloaded is the same whatever is set of the preprocessing.
        key = backbone_key(self.layout.model, backbone.pretrained, backbone.precision)
        return [link_output("backbone.cache", str(manifest_path(backbone.cache, key)))]

    def tokenizer_manifest(self) -> list[str]:
        """The same for the tokenizer; none where it is CLIP's own, which open_clip brings along."""
        return [] if tokenizer_model(self.layout.model) == DEFAULT_CLIP else self.manifest()

    def tokenizer_files(self, wildcards: Any) -> list[str]:
        """The files of a tokenizer that lies in a local folder."""
        return [link_path(str(path)) for path in tokenizer_files(self.layout.model)]

    def tokenizer_model(self, wildcards: Any) -> str:
        return tokenizer_model(self.layout.model)

    def download_settings(self, wildcards: Any) -> str:
        """Which backbone is downloaded."""
        return dump_part(self.config.backbone.model_copy(update={"model": self.layout.model}), BackboneDownload)

    def image_settings(self, wildcards: Any) -> str:
        """By what, and how many at a time, images are encoded."""
        return self._encoder(self.config.backbone.image_batch)

    def text_settings(self, wildcards: Any) -> str:
        """By what, and how many at a time, texts are encoded."""
        return self._encoder(self.config.backbone.text_batch)

    def _encoder(self, batch: Batch) -> str:
        backbone = self.config.backbone
        return EncoderSettings(
            model=self.layout.model,
            pretrained=backbone.pretrained,
            precision=backbone.precision,
            preprocessing=backbone.preprocessing,
            batch=batch,
        ).model_dump_json(exclude_none=True, exclude=None if backbone.preprocessing.given() else {"preprocessing"})

    def cache(self, wildcards: Any, input: Any) -> str:
        """The folder that an encoder takes the weights from; empty where they are no download."""
        return str(Path(input.backbone[0]).parent) if input.backbone else ""

    def offline(self) -> str:
        """The environment of an encoder: with all that it needs on this disk, it asks no hub."""
        return "HF_HUB_OFFLINE=1" if self.manifest() else ""

    def tokenizer_offline(self) -> str:
        return "HF_HUB_OFFLINE=1" if self.tokenizer_manifest() else ""

    def image_store(self, wildcards: Any) -> str:
        """Where the images of the data set or the pairs lie."""
        if wildcards.images == "pairs":
            return DataJobs(self.layout).pair_images()
        return link_path(getattr(self.config.dataset, "root", self.layout.unpacked("cub")))

    def image_records(self, wildcards: Any) -> str:
        """The table that lists them."""
        return self.layout.pair_records if wildcards.images == "pairs" else self.layout.image_records

    def text_table(self, wildcards: Any) -> str:
        """The table of a text source, or the pairs."""
        return self.layout.pair_records if wildcards.texts == "pairs" else self.layout.texts(wildcards.texts)

    def text_column(self, wildcards: Any) -> str:
        return "caption" if wildcards.texts == "pairs" else "text"
