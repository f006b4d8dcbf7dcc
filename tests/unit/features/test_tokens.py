"""Token features, read from disk a batch at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fieldguide.core.errors import FieldguideError
from fieldguide.features.store import read_features
from fieldguide.features.tokens import TokenTable
from tests.unit.features.test_store import TEXTS, save_shards


@pytest.mark.parametrize("count", [1, 3])
def test_tokens_are_taken_in_any_order(tmp_path: Path, count: int) -> None:
    paths = save_shards(tmp_path, count)
    table = TokenTable(paths)
    whole, _ = read_features(paths, TEXTS)
    assert table.width == 2 and table.lengths.tolist() == np.diff(whole["offsets"]).tolist()
    for texts in ([0], [3, 1, 2], [2, 2, 0], []):
        tokens, offsets = table.take(np.array(texts, np.int64))
        wanted = [whole["tokens"][whole["offsets"][i] : whole["offsets"][i + 1]] for i in texts]
        assert tokens.dtype == np.float16 and offsets.tolist() == np.cumsum([0, *map(len, wanted)]).tolist()
        np.testing.assert_array_equal(tokens, np.concatenate([np.empty((0, 2)), *wanted]))


def test_a_token_file_that_ends_early_is_refused(tmp_path: Path) -> None:
    (path,) = save_shards(tmp_path, 1)
    table = TokenTable(path)
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 1)
    with pytest.raises(FieldguideError, match=r"shard-1\.safetensors: ends early"):
        table.take(np.array([3]))
