"""Checked configurations and wildcards for the tests of `fieldguide.workflow`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from fieldguide.workflow.config import check_config, merge
from fieldguide.workflow.layout import Layout

ROOT = Path(__file__).resolve().parents[3]
BASE: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
TINY: dict[str, Any] = yaml.safe_load((ROOT / "config" / "tiny.yaml").read_text(encoding="utf-8"))
OWN_FEATURES = {
    "dataset": {"name": "mine", "kind": "features", "images": {"path": "clip.npz"}},
    "texts": {"llm": {"kind": "features", "path": "llm.npz"}},
    "translators": {"identity": {"kind": "identity"}},
    "sweep": {
        "translator": "identity",
        "variants": [{"sampling": "class-wise", "redraw": "fixed", "sources": ["none", "llm"]}],
    },
}
"""Differences from config.yaml for features that were computed elsewhere."""


def layout_of(*changes: Mapping[str, Any]) -> Layout:
    """The layout of config.yaml with these changes, in the checkout."""
    config = copy.deepcopy(BASE)
    for change in changes:
        if "kind" in change.get("dataset", {}):
            config["dataset"] = {"name": "mine", "kind": change["dataset"]["kind"]}
        merge(config, copy.deepcopy(dict(change)))
    return Layout(check_config(config), ROOT)


def wildcards(**names: str) -> SimpleNamespace:
    return SimpleNamespace(**names)
