"""Feature files: safetensors whose rows follow a record table, with what made them written inside.

Image features: `features` (n, d) float32, unit norm, row i belongs to id i.
Text features: distinct texts are stored once; text i of the table is distinct text `rows[i]`.
  `pooled` (u, d) float32, unit norm; `tokens` (total, width) float16, all texts end to end; `offsets` (u + 1,) int64.
Translated texts: `features` (n, d) float32, unit norm.

A large table is spread over shards, files that each cover a range of its rows; they are read together, in order.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """Write torch tensors or numpy arrays as a safetensors file; equal content gives equal bytes."""
    # The numpy half does without torch, which takes longer to import than an adapter to train.
    is_numpy = all(isinstance(tensor, np.ndarray) for tensor in tensors.values())
    half = importlib.import_module(f"safetensors.{'numpy' if is_numpy else 'torch'}")
    from safetensors import SafetensorError

    with atomic_path(path) as beside:
        try:
            half.save_file(dict(tensors), beside, dict(metadata))
        except SafetensorError as error:
            # Its errors of the system are of its own type and carry no name.
            if found := re.search(r"\(os error (\d+)\)", str(error)):
                raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error
            raise
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


def describe(ids: Sequence[str], backbone: str, about: Mapping[str, str]) -> dict[str, str]:
    """The metadata of a feature file: whose rows it holds and what encoded them."""
    return {"backbone": backbone, "ids_sha256": hash_ids(ids), "count": str(len(ids)), **about}


def save_features(
    path: Path, tensors: Mapping[str, Any], ids: Sequence[str], backbone: str, about: Mapping[str, str]
) -> None:
    """Write a feature file; `ids` names its rows, `backbone` is the key of what encoded them."""
    whole = {n: np.ascontiguousarray(t) if isinstance(t, np.ndarray) else t.contiguous() for n, t in tensors.items()}
    save_tensors(path, whole, describe(ids, backbone, about))


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
    with atomic_path(path) as beside:
        with beside.open("wb") as stream:
            writer = FeatureWriter(path, stream, sizes, types)
            writer.begin(describe(ids, backbone, about))
            yield writer
        if any(writer.missing.values()):
            raise RuntimeError(f"{path}: rows were not written, or twice: {writer.missing}")
        beside.chmod(0o644)


# ---------------------------------------------------------------- reading


def listed(paths: Paths) -> list[Path]:
    """One path or several as a list."""
    return [paths] if isinstance(paths, Path) else list(paths)


def read_features(
    paths: Paths, ids: Sequence[str] | None = None, framework: str = "pt", names: Sequence[str] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a feature file, or all shards of a set, as (tensors, metadata); the metadata is the first shard's.

    `framework`: "pt" gives torch tensors, "np" numpy arrays without importing torch.
    `ids`: the rows that the files have to be of. `names`: tensors to read, where not all are wanted.

    Raises FieldguideError when a file is not a whole safetensors file, was made for other ids, or when files are not
    the shards of one set in order.
    """
    files = listed(paths)
    parts, abouts = zip(*(read_file(path, framework, names) for path in files), strict=True)
    check_shards(files, abouts, ids)
    return (parts[0] if len(parts) == 1 else join(parts, framework)), abouts[0]


def read_file(path: Path, framework: str, names: Sequence[str] | None) -> tuple[dict[str, Any], dict[str, str]]:
    """One file's tensors and metadata, as they are."""
    from safetensors import SafetensorError, safe_open

    with path.open("rb"):  # safetensors' own error for a missing file does not carry its name
        pass
    try:
        with safe_open(path, framework) as stream:
            found = [name for name in stream.keys() if names is None or name in names]  # noqa: SIM118
            return {name: stream.get_tensor(name) for name in found}, stream.metadata() or {}
    except SafetensorError as error:
        raise FieldguideError(f"{path}: not a whole feature file ({error}); delete it to have it made again") from error


def read_about(paths: Paths) -> dict[str, str]:
    """The metadata of a feature file, or of the first of several."""
    return read_file(listed(paths)[0], "np", ())[1]


def join(parts: Sequence[Mapping[str, Any]], framework: str) -> dict[str, Any]:
    """The shards' tensors end to end; `rows` and `offsets` count on from one shard to the next."""
    concatenate: Callable[..., Any] = np.concatenate
    if framework != "np":
        import torch

        concatenate = torch.cat
    columns: dict[str, list[Any]] = {name: [part[name] for part in parts] for name in parts[0]}
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
    return {name: concatenate(column) for name, column in columns.items()}


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


class TokenTable:
    """Token features of distinct texts, left on disk and read a batch at a time: COCO's are 12 GB.

    They are read by position rather than through a memory map, whose pages would count as this process's memory until
    the kernel takes them back. `lengths` (u,) int64: tokens of each distinct text; `width`: of one token.
    With `name` "pooled" each text's pooled feature is its only token, float32.
    """

    def __init__(self, paths: Paths, name: str = "tokens") -> None:
        self.paths = listed(paths)
        self.type = np.dtype(np.float16 if name == "tokens" else np.float32)
        self.files: list[int] = []
        lengths, shard_of, places = [], [], []
        for number, path in enumerate(self.paths):
            header, body = read_header(path)
            count, self.width = header[name]["shape"]
            offsets = read_file(path, "np", ("offsets",))[0]["offsets"] if name == "tokens" else np.arange(count + 1)
            lengths.append(np.diff(offsets))
            shard_of.append(np.full(len(offsets) - 1, number))
            places.append(body + header[name]["data_offsets"][0] + offsets[:-1] * self.width * self.type.itemsize)
            self.files.append(os.open(path, os.O_RDONLY))
        self.lengths: NDArray[np.int64] = np.concatenate(lengths)
        self._shard_of, self._places = np.concatenate(shard_of), np.concatenate(places)

    def __del__(self) -> None:
        for file in getattr(self, "files", ()):
            os.close(file)

    def take(self, texts: NDArray[np.int64], only_last: bool = False) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The tokens (total, width) of these distinct texts, end to end in their order, and offsets (b + 1,).

        `only_last` takes of each text its last token. Raises FieldguideError when a file ends early.
        """
        lengths, size = self.lengths[texts], self.width * self.type.itemsize
        skipped = (lengths - 1) * size if only_last else np.zeros_like(lengths)
        offsets = np.concatenate([[0], np.minimum(lengths, 1).cumsum() if only_last else lengths.cumsum()])
        tokens = np.empty((offsets[-1], self.width), self.type)
        into = tokens.reshape(-1).view(np.uint8).data
        shards, places = self._shard_of[texts].tolist(), (self._places[texts] + skipped).tolist()
        edges = (offsets * size).tolist()
        wanted = list(zip(shards, places, edges[:-1], edges[1:], strict=True))
        if hasattr(os, "posix_fadvise"):  # the disk is asked for all of them before the first is waited for
            for shard, place, begin, end in wanted:
                os.posix_fadvise(self.files[shard], place, end - begin, os.POSIX_FADV_WILLNEED)
        for shard, place, begin, end in wanted:
            if os.preadv(self.files[shard], [into[begin:end]], place) != end - begin:
                raise FieldguideError(f"{self.paths[shard]}: ends early; delete it to have it made again")
        return tokens, offsets


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """A safetensors file's header, and the byte at which its tensors begin."""
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        return json.loads(stream.read(size)), 8 + size
