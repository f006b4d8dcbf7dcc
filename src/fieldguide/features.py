"""Feature files: safetensors whose rows follow a record table, with what made them written inside.

Image features: `features` (n, d) float32, unit norm, row i belongs to id i.
Text features: distinct texts are stored once; text i of the table is distinct text `rows[i]`.
  `pooled` (u, d) float32, unit norm; `tokens` (total, width) float16, all texts end to end; `offsets` (u + 1,) int64.
Translated texts: `features` (n, d) float32, unit norm.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldguide.errors import FieldguideError
from fieldguide.files import atomic_path, hash_ids

if TYPE_CHECKING:
    import torch


def save_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write torch tensors or numpy arrays as a safetensors file; equal content gives equal bytes."""
    # The numpy half does without torch, which takes longer to import than an adapter to train.
    is_numpy = all(isinstance(tensor, np.ndarray) for tensor in tensors.values())
    half = importlib.import_module(f"safetensors.{'numpy' if is_numpy else 'torch'}")
    with atomic_path(path) as beside:
        half.save_file(dict(tensors), beside, dict(metadata))
        sort_metadata(beside)
        beside.chmod(0o644)


def sort_metadata(path: Path) -> None:
    """Put the metadata of a safetensors file in order; safetensors writes it in another order every time."""
    with path.open("r+b") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        ordered = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)
        if len(ordered) != size:
            raise RuntimeError(f"{path}: the header has another length when it is in order")
        stream.seek(8)
        stream.write(ordered)


def save_features(
    path: Path, tensors: Mapping[str, torch.Tensor], ids: Sequence[str], backbone: str, about: Mapping[str, str]
) -> None:
    """Write a feature file; `ids` names its rows, `backbone` is the key of what encoded them."""
    metadata = {"backbone": backbone, "ids_sha256": hash_ids(ids), "count": str(len(ids)), **about}
    save_tensors(path, {name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)


def read_features(
    path: Path, ids: Sequence[str] | None = None, framework: str = "pt", only: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a feature file as (tensors, metadata); with `ids`, refuse a file that was made for other rows.

    `framework`: "pt" gives torch tensors, "np" numpy arrays without importing torch. `only`: read no other tensors.

    Raises FieldguideError when the file is not a whole safetensors file, or was made for other ids.
    """
    from safetensors import SafetensorError, safe_open

    with path.open("rb"):  # safetensors' own error for a missing file does not carry its name
        pass
    try:
        with safe_open(path, framework) as stream:
            metadata = stream.metadata() or {}
            tensors = {name: stream.get_tensor(name) for name in only or stream.keys()}
    except SafetensorError as error:
        raise FieldguideError(f"{path}: not a whole feature file ({error}); delete it to have it made again") from error
    if ids is not None and metadata.get("ids_sha256") != hash_ids(ids):
        raise FieldguideError(f"{path}: was made for other rows than its record table has; delete it to make it again")
    return tensors, metadata


def check_same_backbone(*files: tuple[Path, Mapping[str, str]]) -> str:
    """The backbone key that all files share; raises FieldguideError naming two that differ."""
    (first, about), *others = files
    for path, other in others:
        if other.get("backbone") != about.get("backbone"):
            raise FieldguideError(
                f"{path} is of backbone {other.get('backbone')}, but {first} of {about.get('backbone')}: encode anew"
            )
    return about["backbone"]
