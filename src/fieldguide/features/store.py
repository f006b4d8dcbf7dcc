"""Feature files: safetensors whose rows follow a record table, with what made them written inside.

Image features: `features` (n, d) float32, unit norm, row i belongs to id i.
Text features: distinct texts are stored once; text i of the table is distinct text `rows[i]`.
  `pooled` (u, d) float32, unit norm; `tokens` (total, width) float16, all texts end to end; `offsets` (u + 1,) int64.
Translated texts: `features` (n, d) float32, unit norm.

A large table is spread over shards, files that each cover a range of its rows; they are read together, in order.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import atomic_path, hash_ids

Paths = Path | Sequence[Path]
"""One feature file, or all shards of a set in order."""

SPELLING = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.int64): "I64"}
"""How safetensors spells a type of numbers."""


@dataclass(frozen=True)
class Shard:
    """Shard `number` of `count`, counted from 1."""

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def rows(self, total: int) -> slice:
        """Its range of a table of `total` rows; ranges differ in length by one at most."""
        return slice((self.number - 1) * total // self.count, self.number * total // self.count)


def parse_shard(text: str) -> Shard:
    """NUMBER/COUNT, as the encoding stages take it."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is not NUMBER/COUNT, such as 3/16")
    return Shard(int(number), int(count))


# ---------------------------------------------------------------- writing


def save_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write arrays, or torch's tensors in the CPU's memory, as a safetensors file; equal content gives equal bytes."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    with atomic_path(path) as temporary:
        try:
            # A tensor gives numpy its memory: torch, which takes longer to import than an adapter to train, stays out.
            save_file({name: as_array(tensor) for name, tensor in tensors.items()}, temporary, dict(metadata))
        except SafetensorError as error:
            # Its errors of the system are of its own type and carry no name.
            if found := re.search(r"\(os error (\d+)\)", str(error)):
                raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error
            raise
        sort_metadata(temporary)
        temporary.chmod(0o644)


def as_array(values: Any) -> NDArray[Any]:
    """An array or a tensor as a contiguous array; a single number stays one."""
    array = np.asarray(values)
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


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


def describe(ids: Sequence[str], backbone: str, about: Mapping[str, str]) -> dict[str, str]:
    """The metadata of a feature file: whose rows it holds and what encoded them."""
    return {"backbone": backbone, "ids_sha256": hash_ids(ids), "count": str(len(ids)), **about}


def save_features(
    path: Path, tensors: Mapping[str, Any], ids: Sequence[str], backbone: str, about: Mapping[str, str]
) -> None:
    """Write a feature file; `ids` names its rows, `backbone` is the key of what encoded them."""
    save_tensors(path, tensors, describe(ids, backbone, about))


class FeatureWriter:
    """Tensors of known sizes, written to a safetensors file row by row in any order; nothing is kept in memory."""

    def __init__(self, path: Path, stream: BinaryIO, sizes: Mapping[str, tuple[int, ...]], types: Mapping[str, Any]):
        self.path, self.stream = path, stream
        self.types = {name: np.dtype(types[name]) for name in sizes}
        self.sizes = dict(sizes)
        self.missing = {name: size[0] for name, size in sizes.items()}
        self.starts: dict[str, int] = {}

    def begin(self, metadata: Mapping[str, str]) -> None:
        """Write the header and make the file as long as it is going to be."""
        header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
        end = 0
        # safetensors' own order: wide types first, so that every tensor is aligned, then by name.
        for name in sorted(self.sizes, key=lambda name: (-self.types[name].itemsize, name)):
            begin, end = end, end + int(np.prod(self.sizes[name])) * self.types[name].itemsize
            shape = list(self.sizes[name])
            header[name] = {"dtype": SPELLING[self.types[name]], "shape": shape, "data_offsets": [begin, end]}
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text = text.ljust(-(-len(text) // 8) * 8)
        self.starts = {name: 8 + len(text) + header[name]["data_offsets"][0] for name in self.sizes}
        free = shutil.disk_usage(self.path.parent).free
        if free < end:
            size, unit = (1e9, "GB") if end >= 1e9 else (1e6, "MB")
            needs = f"needs {end / size:.1f} {unit} of disk, and {free / size:.1f} {unit} are free"
            raise FieldguideError(f"{self.path}: {needs}; make room there and run the same command again")
        self.stream.write(len(text).to_bytes(8, "little") + text)
        self.stream.truncate(8 + len(text) + end)

    def write(self, name: str, row: int, values: NDArray[Any]) -> None:
        """Write consecutive rows of a tensor, from `row` on."""
        if values.dtype != self.types[name] or values.shape[1:] != self.sizes[name][1:]:
            raise RuntimeError(f"{name}: {values.dtype} {values.shape} is not what the header says")
        self.missing[name] -= len(values)
        width = self.types[name].itemsize * int(np.prod(self.sizes[name][1:]))
        self.stream.seek(self.starts[name] + row * width)
        try:
            self.stream.write(np.ascontiguousarray(values).data)
        except OSError as error:
            # The error of a full disk does not carry the file's name.
            raise FieldguideError(f"{self.path}: {error.strerror}; make room and run it again") from error


@contextmanager
def create_features(
    path: Path,
    sizes: Mapping[str, tuple[int, ...]],
    types: Mapping[str, Any],
    ids: Sequence[str],
    backbone: str,
    about: Mapping[str, str],
) -> Iterator[FeatureWriter]:
    """Open a feature file for writing row by row; it takes its name when the block ends well and every row is there.

    The bytes are those of `save_features` for the same content.
    """
    with atomic_path(path) as temporary:
        with temporary.open("wb") as stream:
            writer = FeatureWriter(path, stream, sizes, types)
            writer.begin(describe(ids, backbone, about))
            yield writer
        if any(writer.missing.values()):
            raise RuntimeError(f"{path}: rows were not written, or twice: {writer.missing}")
        temporary.chmod(0o644)


# ---------------------------------------------------------------- reading


def list_files(paths: Paths) -> list[Path]:
    """One path or several as a list."""
    return [paths] if isinstance(paths, Path) else list(paths)


def read_features(
    paths: Paths, ids: Sequence[str] | None = None, *, names: Sequence[str] | None = None
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read a feature file, or all shards of a set, as (arrays, metadata); the metadata is the first shard's.

    `ids`: the rows that the files have to be of. `names`: arrays to read, where not all are wanted.

    Raises FieldguideError when a file is not a whole safetensors file, was made for other ids, or when files are not
    the shards of one set in order.
    """
    files = list_files(paths)
    parts, abouts = zip(*(read_file(path, names) for path in files), strict=True)
    check_shards(files, abouts, ids)
    return (parts[0] if len(parts) == 1 else join_shards(parts)), abouts[0]


def open_file(path: Path) -> Any:
    """safetensors' reader of a file; raises FieldguideError when it is not a whole one."""
    from safetensors import SafetensorError, safe_open

    with path.open("rb"):  # safetensors' own error for a missing file does not carry its name
        pass
    try:
        return safe_open(path, "np")
    except SafetensorError as error:
        raise FieldguideError(f"{path}: not a whole feature file ({error}); delete it to have it made again") from error


def read_file(path: Path, names: Sequence[str] | None = None) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """One file's arrays and metadata, as they are; `names`: those to read, where not all are wanted."""
    with open_file(path) as stream:
        found = [name for name in stream.keys() if names is None or name in names]  # noqa: SIM118
        return {name: stream.get_tensor(name) for name in found}, stream.metadata() or {}


def join_shards(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The shards' arrays end to end; `rows` and `offsets` count on from one shard to the next."""
    columns = {name: [part[name] for part in parts] for name in parts[0]}
    if "rows" in columns:
        texts = np.cumsum([0, *(len(part["rows"]) and int(part["rows"].max()) + 1 for part in parts)])
        columns["rows"] = [rows + int(start) for rows, start in zip(columns["rows"], texts, strict=False)]
    if "offsets" in columns:
        tokens = np.cumsum([0, *(int(offsets[-1]) for offsets in columns["offsets"])])
        # A shard's first offset is the end of the one before.
        columns["offsets"] = [
            offsets[bool(i) :] + int(start)
            for i, (offsets, start) in enumerate(zip(columns["offsets"], tokens, strict=False))
        ]
    return {name: np.concatenate(column) for name, column in columns.items()}


def check_shards(files: Sequence[Path], abouts: Sequence[Mapping[str, str]], ids: Sequence[str] | None) -> None:
    """Raise FieldguideError unless the files are all shards of one set, in order, and of these ids."""
    check_same_backbone(*zip(files, abouts, strict=True))
    for number, (path, about) in enumerate(zip(files, abouts, strict=True), 1):
        found, wanted = (about.get("shard", "1"), about.get("shards", "1")), (str(number), str(len(files)))
        if found != wanted:
            raise FieldguideError(
                f"{path}: is shard {found[0]} of {found[1]}, where shard {wanted[0]} of {wanted[1]} was expected; "
                "give all shards of one set, in order"
            )
        own = None if ids is None else ids[Shard(number, len(files)).rows(len(ids))]
        if own is not None and about.get("ids_sha256") != hash_ids(own):
            raise FieldguideError(
                f"{path}: was made for other rows than its record table has; delete it to make it again"
            )


def check_same_backbone(*files: tuple[Path, Mapping[str, str]]) -> str:
    """The backbone key that all files share; raises FieldguideError naming two that differ, in it or in precision."""
    (first, about), *others = files
    for path, other in others:
        if other.get("backbone") != about.get("backbone"):
            raise FieldguideError(
                f"{path} is of backbone {other.get('backbone')}, but {first} of {about.get('backbone')}: encode anew"
            )
        # Published weights are known by their name, until the downloaded file says what it is.
        if "weights" in about and other.get("weights", about["weights"]) != about["weights"]:
            raise FieldguideError(
                f"{path} was encoded with other weights than {first}: both are of {about.get('backbone')}; encode anew"
            )
        # Of a weights file open_clip's tags say how photographs are prepared, and another version may say otherwise.
        if "preprocessing" in about and other.get("preprocessing", about["preprocessing"]) != about["preprocessing"]:
            raise FieldguideError(
                f"{path} was encoded with another preprocessing than {first} ({other['preprocessing']} and "
                f"{about['preprocessing']}); encode anew"
            )
        # Features that were computed elsewhere do not say how.
        if "dtype" in about and other.get("dtype", about["dtype"]) != about["dtype"]:
            raise FieldguideError(
                f"{path} was encoded in {other['dtype']}, but {first} in {about['dtype']}: "
                "set backbone.precision to one of them and encode anew"
            )
    return about["backbone"]


def kept_dtype(about: Mapping[str, str]) -> dict[str, str]:
    """What a file made from features says of their precision: what they say themselves."""
    return {"dtype": about["dtype"]} if "dtype" in about else {}
