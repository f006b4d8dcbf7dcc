"""Real texts through the check: Reed's captions, and GPT-4's sentences about every class of CUB."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from fieldguide.core.files import read_csv, write_csv
from fieldguide.data import index_images, unpack_archive
from fieldguide.features.tokenizer import load_tokenizer
from fieldguide.texts import check_texts, index_captions
from fieldguide.texts.naming import NameIndex, has_name
from fieldguide.texts.sentences import classify_visibility, read_lexicon
from fieldguide.texts.table import TEXT_COLUMNS
from tests.tiny_data import said

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("FIELDGUIDE_REAL_DATA") or ROOT.parent / "shared" / "real")
CUB, REED, GPT4 = REAL / "CUB_200_2011.tgz", REAL / "reed_text_c10.tgz", REAL / "cub_gpt4_partwise.json"
LEXICON = ROOT / "workflow/resources/not_visible.txt"
AVIARY = f"local-dir:{ROOT / 'workflow/resources/aviary-clip'}"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not all(path.exists() for path in (CUB, REED, GPT4)),
        reason=f"no real texts in {REAL}; name their folder in FIELDGUIDE_REAL_DATA",
    ),
]


def argv(source: str, folder: Path, model: str = AVIARY, **settings: object) -> list[str]:
    paths = ["--raw", folder / f"raw/{source}.csv", "--classes", folder / "classes.csv", "--lexicon", LEXICON]
    paths += ["--out", folder / f"{source}.csv", "--page", folder / f"{source}.md"]
    return ["--source", source, "--model", model, *map(str, paths), "--settings", json.dumps(settings)]


def texts_of(path: Path) -> list[str]:
    return [row["text"] for row in read_csv(path, TEXT_COLUMNS)]


@pytest.fixture(scope="module")
def reed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reed's captions as index_captions reads them."""
    folder = tmp_path_factory.mktemp("reed")
    for archive, name in ((CUB, "CUB_200_2011"), (REED, "text_c10")):
        unpack_archive.main(["--archive", str(archive), "--folder", name, "--out", str(folder / name)])
    tables = ["--images-out", str(folder / "images.csv"), "--classes-out", str(folder / "classes.csv")]
    index_images.main(["--root", str(folder / "CUB_200_2011"), *tables, "--workers", "2"])
    tables = ["--images", str(folder / "images.csv"), "--classes", str(folder / "classes.csv")]
    index_captions.main(["--root", str(folder / "text_c10"), *tables, "--out", str(folder / "raw/reed.csv")])
    return folder


@pytest.fixture(scope="module")
def gpt4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-4's sentences as a raw table, classes numbered in the file's order."""
    folder = tmp_path_factory.mktemp("gpt4")
    told: dict[str, list[str]] = json.loads(GPT4.read_text(encoding="utf-8"))
    classes = [
        {"class_id": str(number), "class_name": name.replace("_", " ").title()} for number, name in enumerate(told, 1)
    ]
    write_csv(folder / "classes.csv", ("class_id", "class_name"), classes)
    rows = (
        {**one, "image_id": "", "field": "part", "text": text}
        for one, texts in zip(classes, told.values(), strict=True)
        for text in texts
    )
    write_csv(folder / "raw/gpt4.csv", TEXT_COLUMNS, rows)
    return folder


def test_human_captions_are_whole_and_none_is_called_invisible(reed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = said(check_texts.main, capsys, *argv("reed", reed, at_least=10))
    raw, out = texts_of(reed / "raw/reed.csv"), texts_of(reed / "reed.csv")
    tokenizer = load_tokenizer(AVIARY)
    over = [text for text in raw if tokenizer.count(text) > tokenizer.context]
    assert " ".join(raw).split() == " ".join(out).split()
    assert max(map(tokenizer.count, out)) <= tokenizer.context
    assert (f"{len(over)} texts exceed 77 tokens" in log) == bool(over)
    assert "no photograph shows anything of 0 of their sentences" in log
    assert "occur in several classes" in log
    page = (reed / "reed.md").read_text(encoding="utf-8")
    assert page.count("\n**Image ") == 30 and "more images are left out here" in page


def test_gpt4_names_every_class_and_can_be_made_not_to(gpt4: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = said(check_texts.main, capsys, *argv("gpt4", gpt4, at_least=7))
    assert (gpt4 / "gpt4.csv").read_bytes() == (gpt4 / "raw/gpt4.csv").read_bytes()
    assert "1400 texts name their class as written; with naming as-is; the tables call the source named" in log

    log = said(check_texts.main, capsys, *argv("gpt4", gpt4, naming="removed"))
    rows = read_csv(gpt4 / "gpt4.csv", TEXT_COLUMNS)
    assert "the tables call the source unnamed" in log
    assert not any(has_name(row["text"], row["class_name"]) for row in rows)
    assert Counter(" ".join(row["text"].split()[:5]) for row in rows).most_common(1) == [
        ("The bird is a bird", len(rows))
    ]


def test_clips_own_tokenizer_cuts_none_of_them(gpt4: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = said(check_texts.main, capsys, *argv("gpt4", gpt4, model="ViT-B-32"))
    assert "exceed" not in log and "1400 texts of 200 classes" in log


def phrases(folder: Path) -> list[str]:
    """What GPT-4 calls a class's unique features, phrase by phrase."""
    texts = texts_of(folder / "raw/gpt4.csv")
    return [
        phrase for text in texts if "unique features" in text for phrase in re.split(", ", text.split(" are ", 1)[1])
    ]


def flagged(texts: Sequence[str], names: NameIndex) -> list[str]:
    lexicon = read_lexicon(LEXICON.read_text(encoding="utf-8"), str(LEXICON))
    return [text for text in texts if classify_visibility(names.mask(text), lexicon).is_invisible]


def test_the_lexicon_flags_what_was_flagged_by_hand(gpt4: Path) -> None:
    """Every phrase was read; a change of the lexicon that changes the counts wants the new ones read too."""
    names = NameIndex(row["class_name"] for row in read_csv(gpt4 / "classes.csv", ("class_name",)))
    told = phrases(gpt4)
    found = flagged(told, names)
    print("\n".join(found))
    assert len(told) == 550 and len(found) == 251
    # The two that a photograph may show.
    assert {"often found on the ground", "often found creeping on tree trunks and branches"} <= set(found)
    # Those that it may not show and that are missed.
    assert not {"often seen perching on fences or power lines", "nocturnal and cryptic"} & set(found)
