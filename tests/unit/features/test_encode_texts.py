"""Texts through the backbone: each once, in any batch, cut ones reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fieldguide.core.files import write_csv
from fieldguide.features.backbone import LOCAL, backbone_key
from fieldguide.features.encode_texts import encode_ids, main, tokenise
from fieldguide.features.tokens import TokenTable
from tests.tiny_data import as_settings, refusal, said
from tests.unit.planted_features import read_tensors
from tests.unit.tiny_backbone import CONTEXT, KINDS, TEXTS, load

ROWS = [TEXTS[0], TEXTS[3], TEXTS[1], TEXTS[3], TEXTS[2], TEXTS[0]]


def argv(folder: Path, backbone: Path, rows: list[str], *more: object, **values: object) -> list[str]:
    """Write the table; the command line that encodes it."""
    write_csv(folder / "texts.csv", ("text", "caption"), ({"text": row, "caption": row.split()[0]} for row in rows))
    chosen = as_settings(**{"model": f"{LOCAL}{backbone}", "pretrained": "", "precision": "fp32", **values})
    given = [*chosen, "--texts", folder / "texts.csv", "--out", folder / "texts.safetensors"]
    return [str(word) for word in (*given, *more)]


def encoded(folder: Path, rows: list[str]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    return read_tensors(folder / "texts.safetensors", rows)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_tokens_and_pooled_belong_to_their_texts(folders: dict[str, Path], kind: str, tmp_path: Path) -> None:
    main(argv(tmp_path, folders[kind], ROWS))
    tensors, about = encoded(tmp_path, ROWS)
    distinct = list(dict.fromkeys(ROWS))
    assert [distinct[row] for row in tensors["rows"].tolist()] == ROWS
    assert tensors["pooled"].shape == (4, 8) and tensors["pooled"].dtype == torch.float32
    assert tensors["tokens"].dtype == torch.float16
    backbone = load(folders[kind])
    offsets = tensors["offsets"].tolist()
    assert offsets[0] == 0 and offsets[-1] == len(tensors["tokens"])
    for number, text in enumerate(distinct):
        ids, lengths, _ = tokenise(backbone, [text])
        with torch.inference_mode():
            pooled = backbone.model.encode_text(ids, normalize=True)[0]
            inner = backbone.model.forward_intermediates(text=ids, text_indices=1, normalize_intermediates=True)
        torch.testing.assert_close(tensors["pooled"][number], pooled, atol=1e-6, rtol=0)
        tokens = tensors["tokens"][offsets[number] : offsets[number + 1]]
        assert len(tokens) == int(lengths[0])
        theirs = inner["text_intermediates"][-1][0, : len(tokens)]
        torch.testing.assert_close(tokens.float(), theirs, atol=2e-3, rtol=1e-3)  # half precision
    assert about["backbone"] == backbone_key(f"{LOCAL}{folders[kind]}")
    assert (about["kind"], about["source"], about["count"]) == ("text", "texts", "6")


@pytest.mark.parametrize("kind", KINDS)
def test_the_batch_changes_nothing(folders: dict[str, Path], kind: str) -> None:
    backbone = load(folders[kind])
    ids, lengths, _ = tokenise(backbone, TEXTS)

    def encode(batch: int | None) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
        """Pooled and own tokens of each text."""
        found = {}
        for rows, pooled, tokens in encode_ids(backbone, ids, lengths, batch):
            assert tokens.dtype == torch.float16
            for row, head, sequence in zip(rows.tolist(), pooled, tokens, strict=True):
                found[row] = head, sequence[: int(lengths[row])]
        return found

    whole = encode(len(TEXTS))
    assert sorted(whole) == list(range(len(TEXTS)))
    for batch in (1, 2, 3, 100, None):
        again = encode(batch)
        for row, (pooled, tokens) in whole.items():
            torch.testing.assert_close(again[row][0], pooled, atol=1e-5, rtol=0)
            torch.testing.assert_close(again[row][1], tokens, atol=2e-3, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_only_texts_that_do_not_fit_are_reported(folders: dict[str, Path], kind: str) -> None:
    backbone = load(folders[kind])
    special = 2 if kind == "argmax" else 1  # a start token and an end token, or an end token
    texts = ["bird" + " bird" * more for more in range(CONTEXT + 5)]
    _, lengths, cut = tokenise(backbone, texts)
    assert cut == texts[CONTEXT - special :]
    if kind != "last":
        assert lengths.tolist() == [min(more + 1 + special, CONTEXT) for more in range(CONTEXT + 5)]


def test_a_cut_text_is_told_once(folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = " ".join(["bird"] * 40)
    log = said(main, capsys, *argv(tmp_path, folders["eos"], [long, TEXTS[3], long]))
    assert "3 texts (2 distinct)" in log
    assert f"1 texts exceed {CONTEXT} tokens and were cut, the first: bird bird" in log
    assert "exceed" not in said(main, capsys, *argv(tmp_path, folders["eos"], [TEXTS[3]]))
    # What is cut encodes as its first words do.
    main(argv(tmp_path, folders["eos"], [long, " ".join(["bird"] * (CONTEXT - 1))]))
    tensors, _ = read_tensors(tmp_path / "texts.safetensors")
    torch.testing.assert_close(tensors["pooled"][0], tensors["pooled"][1])


def test_another_column(folders: dict[str, Path], tmp_path: Path) -> None:
    main(argv(tmp_path, folders["eos"], ROWS, "--column", "caption"))
    tensors, _ = encoded(tmp_path, [row.split()[0] for row in ROWS])
    assert tensors["rows"].tolist() == [0, 0, 1, 0, 0, 0]


def test_many_texts_are_tokenised_in_chunks(folders: dict[str, Path]) -> None:
    backbone = load(folders["eos"])
    texts = [TEXTS[i % 2] for i in range(4100)]
    ids, lengths, _ = tokenise(backbone, texts)
    two, _, _ = tokenise(backbone, TEXTS[:2])
    assert len(ids) == len(lengths) == 4100
    assert torch.equal(ids[0::2], two[:1].expand(2050, -1)) and torch.equal(ids[1::2], two[1:].expand(2050, -1))


def test_the_same_bytes_twice(folders: dict[str, Path], tmp_path: Path) -> None:
    contents = []
    for _ in range(2):
        main(argv(tmp_path, folders["eos"], ROWS))
        contents.append((tmp_path / "texts.safetensors").read_bytes())
    assert contents[0] == contents[1]


def shards_of(folder: Path, backbone: Path, rows: list[str], count: int, **values: object) -> list[Path]:
    """Encode the table in shards."""
    paths = [folder / f"{number}.safetensors" for number in range(1, count + 1)]
    for number, path in enumerate(paths, 1):
        main([*argv(folder, backbone, rows, **values), "--shard", f"{number}/{count}", "--out", str(path)])
    return paths


@pytest.mark.parametrize("kind", ["eos", "last"])
def test_shards_hold_what_one_file_holds(folders: dict[str, Path], kind: str, tmp_path: Path) -> None:
    main(argv(tmp_path, folders[kind], ROWS, batch=2))
    whole, _ = encoded(tmp_path, ROWS)
    paths = shards_of(tmp_path, folders[kind], ROWS, 3, batch=2)
    parts, about = read_tensors(paths, ROWS)
    assert (about["shard"], about["shards"], about["count"], about["dtype"]) == ("1", "3", "2", "float32")
    # The first text stands in two shards: a shard encodes a text once, whatever is in the others.
    assert len(parts["pooled"]) == 6 and len(whole["pooled"]) == 4
    table = TokenTable(paths)
    for number in range(len(ROWS)):
        ours, theirs = int(parts["rows"][number]), int(whole["rows"][number])
        # Other batches, so the last bits may differ.
        torch.testing.assert_close(parts["pooled"][ours], whole["pooled"][theirs], atol=1e-5, rtol=0)
        begin, end = whole["offsets"][theirs : theirs + 2].tolist()
        tokens = parts["tokens"][parts["offsets"][ours] : parts["offsets"][ours + 1]]
        torch.testing.assert_close(tokens, whole["tokens"][begin:end], atol=2e-3, rtol=0)
        assert np.array_equal(table.take(np.array([ours]))[0], tokens.numpy())


def test_a_shard_that_is_lost_is_made_again_to_the_byte(folders: dict[str, Path], tmp_path: Path) -> None:
    paths = shards_of(tmp_path, folders["eos"], ROWS, 2)
    before = [path.read_bytes() for path in paths]
    paths[1].unlink()
    main([*argv(tmp_path, folders["eos"], ROWS), "--shard", "2/2", "--out", str(paths[1])])
    assert [path.read_bytes() for path in paths] == before


def test_more_shards_than_texts_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    given = argv(tmp_path, folders["eos"], ROWS, "--shard", "7/7")
    assert "holds 6 texts, too few for 7 shards; see backbone.shards" in refusal(main, *given)


def test_bad_input_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    given = argv(tmp_path, folders["eos"], [])
    assert f"{tmp_path / 'texts.csv'}: holds no text" in refusal(main, *given)
    assert "lacks the column(s) words" in refusal(main, *given, "--column", "words")
    assert "open_clip knows no 'ViT-Q'" in refusal(main, *argv(tmp_path, folders["eos"], ROWS, model="ViT-Q"))
    assert not (tmp_path / "texts.safetensors").exists()
