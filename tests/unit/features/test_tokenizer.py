"""How long a text is for a backbone, told without it: by the tokenizers library alone and by open_clip the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_clip.tokenizer import get_clean_fn

from fieldguide.core.errors import FieldguideError
from fieldguide.features.backbone import LOCAL, load_backbone, text_lengths
from fieldguide.features.tokenizer import (
    Tokenizer,
    load_tokenizer,
    load_with_open_clip,
    tokenizer_files,
    tokenizer_model,
)
from tests.unit.tiny_backbone import CONTEXT, KINDS, TEXTS, copy_of, load

ROOT = Path(__file__).resolve().parents[3]
AVIARY = f"{LOCAL}{ROOT / 'workflow/resources/aviary-clip'}"

AWKWARD = [
    "a bird",
    "This bird's bill is 12–14 cm long;   its crown is\tred.",
    "caf\u00e9 &amp; na\u00efve \u201cquotes\u201d \u2014 the bird\u2019s",
    "\ufffd \u5b57\u5b57 emoji \U0001f426",
    "[EOS] [PAD] bird",
    "word " * 70,
    "",
]


def count_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    return [tokenizer.count(text) for text in texts]


def test_both_ways_count_the_aviarys_tokens_alike_and_as_the_backbone_does() -> None:
    quick, slow = load_tokenizer(AVIARY), load_with_open_clip(AVIARY)
    ledger = (ROOT / "workflow/resources/aviary-llm.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [*AWKWARD, *(json.loads(line)["reply"] for line in ledger[:40])]
    assert (quick.context, slow.context) == (77, 77)
    assert count_tokens(quick, texts) == count_tokens(slow, texts)
    backbone = load_backbone(AVIARY, "", "fp32", "cpu")
    fitting = [text for text in texts if quick.count(text) <= 77 and "[EOS]" not in text]
    assert len(fitting) >= 5 and len(fitting) < len(texts) - 1
    assert text_lengths(backbone.model, backbone.tokenizer(fitting)).tolist() == count_tokens(quick, fitting)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_plain_text_has_nothing_to_clean(text: str) -> None:
    if "&" not in text:
        assert get_clean_fn("whitespace")(text) == " ".join(text.split())


@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_the_backbones_for_every_kind_of_tokenizer(folders: dict[str, Path], kind: str) -> None:
    tokenizer, backbone = load_tokenizer(f"{LOCAL}{folders[kind]}"), load(folders[kind])
    assert tokenizer.context == CONTEXT == backbone.context_length
    if kind != "last":  # which sees its padding too
        counts = [min(count, CONTEXT) for count in count_tokens(tokenizer, TEXTS)]
        assert text_lengths(backbone.model, backbone.tokenizer(TEXTS)).tolist() == counts
    for more in range(CONTEXT + 3):
        text = " ".join(["bird"] * (more + 1))
        cut = bool((backbone.tokenizer([text], context_length=40)[:, :CONTEXT] != backbone.tokenizer([text])).any())
        assert (tokenizer.count(text) > CONTEXT) == cut


def test_the_aviarys_tokenizer_needs_no_torch() -> None:
    code = (
        "import sys; from fieldguide.features.tokenizer import load_tokenizer\n"
        f"print(load_tokenizer({AVIARY!r}).count('a bird'))\n"
        "assert not {'torch', 'open_clip', 'transformers', 'numpy'} & set(sys.modules), 'heavy'"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "3\n"


def test_clips_own_tokenizer_by_a_models_name() -> None:
    tokenizer = load_tokenizer("ViT-B-32")
    assert tokenizer.context == 77
    assert count_tokens(tokenizer, ["", "a photo of a bird"]) == [2, 7]


def test_models_of_one_tokenizer_have_one_name() -> None:
    assert tokenizer_model("ViT-L-14") == tokenizer_model("ViT-B-16-quickgelu") == "ViT-B-32"
    for model in ("ViT-B-16-SigLIP", "xlm-roberta-base-ViT-B-32", "no-such-model", AVIARY, "hf-hub:a/b"):
        assert tokenizer_model(model) == model


def test_a_folders_tokenizer_is_told_by_its_files(folders: dict[str, Path]) -> None:
    names = [Path(path).name for path in tokenizer_files(f"{LOCAL}{folders['eos']}")]
    assert names == ["open_clip_config.json", "tokenizer.json", "tokenizer_config.json"]
    assert tokenizer_files("ViT-B-32") == []


def test_bad_models_are_told(backbone_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FieldguideError, match=r"no open_clip_config\.json"):
        load_tokenizer(f"{LOCAL}{tmp_path}")
    with pytest.raises(FieldguideError, match="open_clip knows no 'ViT-Q'"):
        load_tokenizer("ViT-Q")
    damaged = copy_of(backbone_folder, tmp_path / "damaged")
    (damaged / "tokenizer.json").write_text("{}")
    with pytest.raises(FieldguideError, match=r"tokenizer\.json: is not a tokenizer"):
        load_tokenizer(f"{LOCAL}{damaged}")
    (damaged / "open_clip_config.json").write_text('{"model_cfg": {}}')
    with pytest.raises(FieldguideError, match=r"open_clip_config\.json: has no model_cfg\.text_cfg"):
        load_tokenizer(f"{LOCAL}{damaged}")
