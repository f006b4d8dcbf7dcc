"""Token features, read from disk a batch at a time."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldguide.core.errors import FieldguideError
from fieldguide.features.store import Paths, list_files, read_file


class TokenTable:
    """Token features of distinct texts, left on disk and read a batch at a time: COCO's are 12 GB.

    They are read by position rather than through a memory map, whose pages would count as this process's memory until
    the kernel takes them back. `lengths` (u,) int64: tokens of each distinct text; `width`: of one token.
    With `name` "pooled" each text's pooled feature is its only token, float32.
    """

    def __init__(self, paths: Paths, name: str = "tokens") -> None:
        self.paths = list_files(paths)
        self.type = np.dtype(np.float16 if name == "tokens" else np.float32)
        self.files: list[int] = []
        lengths, shard_of, places = [], [], []
        for number, path in enumerate(self.paths):
            header, body = read_header(path)
            count, self.width = header[name]["shape"]
            offsets = read_file(path, ("offsets",))[0]["offsets"] if name == "tokens" else np.arange(count + 1)
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
