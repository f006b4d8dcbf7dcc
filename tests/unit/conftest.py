"""Backbones that several test modules share: made once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.tiny_backbone import KINDS, write_backbone


@pytest.fixture(scope="session")
def backbone_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP pooled at its end token, as the aviary's."""
    return write_backbone(tmp_path_factory.mktemp("backbone") / "tiny-clip")


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory, backbone_folder: Path) -> dict[str, Path]:
    """A tiny CLIP of every kind of text tower."""
    root = tmp_path_factory.mktemp("backbones")
    return {kind: backbone_folder if kind == "eos" else write_backbone(root / kind, kind) for kind in KINDS}
