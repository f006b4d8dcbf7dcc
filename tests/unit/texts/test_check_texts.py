"""Texts checked before use: what is refused, cut, named, dropped and told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fieldguide.core.files import read_csv, write_csv
from fieldguide.features import encode_texts
from fieldguide.features.backbone import LOCAL
from fieldguide.features.tokenizer import load_tokenizer
from fieldguide.texts.check_texts import main
from fieldguide.texts.naming import has_name
from fieldguide.texts.replies import parse_reply
from fieldguide.texts.table import TEXT_COLUMNS
from tests.tiny_data import as_settings, refusal, said
from tests.unit.tiny_backbone import KINDS

ROOT = Path(__file__).resolve().parents[3]
AVIARY = f"{LOCAL}{ROOT / 'workflow/resources/aviary-clip'}"
LEXICON = ROOT / "workflow/resources/not_visible.txt"
NAMES = {"1": "Blue Jay", "2": "Fish Crow", "3": "Marsh Wren"}
Row = tuple[str, str, str, str]  # class id, image id, field, text

ROWS: list[Row] = [
    ("1", "", "Size", "Small and slim. It feeds on acorns."),
    ("1", "", "Coloration", "Blue above, unlike the fish crow."),
    ("2", "", "Size", "The Fish Crow is large."),
    ("2", "", "Coloration", "Black all over."),
    ("3", "", "Size", "Its song is a rattle."),
    ("3", "", "Coloration", "black all over"),
]


def argv(folder: Path, rows: Sequence[Row], model: str = AVIARY, **settings: object) -> list[str]:
    """Write the raw table and the classes; the command line that checks them."""
    table = [(class_id, NAMES[class_id], *rest) for class_id, *rest in rows]
    write_csv(folder / "raw.csv", TEXT_COLUMNS, (dict(zip(TEXT_COLUMNS, row, strict=True)) for row in table))
    classes = ({"class_id": class_id, "class_name": name} for class_id, name in NAMES.items())
    write_csv(folder / "classes.csv", ("class_id", "class_name"), classes)
    given = ["--source", "mine", "--raw", folder / "raw.csv", "--classes", folder / "classes.csv", "--model", model]
    given += ["--lexicon", LEXICON, "--out", folder / "out.csv", "--page", folder / "out.md"]
    return [str(word) for word in (*given, "--settings", json.dumps(settings))]


def checked(folder: Path, rows: Sequence[Row] = ROWS, **settings: object) -> list[str]:
    """The texts after the check."""
    main(argv(folder, rows, **settings))
    return [row["text"] for row in read_csv(folder / "out.csv", TEXT_COLUMNS)]


def page(folder: Path) -> str:
    return (folder / "out.md").read_text(encoding="utf-8")


def test_what_needs_no_change_keeps_every_byte(tmp_path: Path) -> None:
    main(argv(tmp_path, ROWS))
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "raw.csv").read_bytes()


def test_the_shipped_ledger_fits_and_keeps_every_byte(tmp_path: Path) -> None:
    lines = (ROOT / "workflow/resources/aviary-llm.jsonl").read_text(encoding="utf-8").splitlines()
    fields = ("Size", "Coloration", "Beak", "Feet", "Eyes")
    replies = [parse_reply(json.loads(line)["reply"], fields) for line in lines]
    rows: list[Row] = [
        (str(1 + number % 3), "", field, reply[field]) for number, reply in enumerate(replies) for field in fields
    ]
    main(argv(tmp_path, rows))
    assert len(rows) > 1000
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "raw.csv").read_bytes()


# ---------------------------------------------------------------- refused


def test_all_classes_short_of_texts_are_named_with_the_way_out(tmp_path: Path) -> None:
    told = refusal(main, *argv(tmp_path, ROWS[:3], at_least=2))
    assert "2 of 3 classes have fewer than 2 texts: Fish Crow (1), Marsh Wren (0)" in told
    assert "lower `texts.mine.at_least`" in told and "visible_only" not in told
    assert not (tmp_path / "out.csv").exists() and not (tmp_path / "out.md").exists()


def test_dropping_never_goes_below_at_least_without_saying_so(tmp_path: Path) -> None:
    told = refusal(main, *argv(tmp_path, ROWS, at_least=2, visible_only=True))
    assert "1 of 3 classes have fewer than 2 texts" in told and "Marsh Wren (1 of 2)" in told
    assert "set `texts.mine.visible_only` to false or lower `texts.mine.at_least`" in told


def test_pieces_do_not_count_as_texts(tmp_path: Path) -> None:
    long = " ".join(["Its tail is long and its bill is short."] * 20)
    rows: list[Row] = [(class_id, "", "Size", long) for class_id in NAMES]
    assert "fewer than 2 texts" in refusal(main, *argv(tmp_path, rows, at_least=2))


def test_tables_about_other_classes_or_without_words_are_refused(tmp_path: Path) -> None:
    given = argv(tmp_path, [*ROWS, ("3", "", "Eyes", " – ")])
    assert "rows without a word of text (1): line 8, class Marsh Wren" in refusal(main, *given)
    text = (tmp_path / "raw.csv").read_text().replace("3,Marsh Wren", "4,Marsh Wren").replace("–", "Dark")
    (tmp_path / "raw.csv").write_text(text)
    assert "class ids that" in (told := refusal(main, *given)) and "(1): 4" in told
    (tmp_path / "raw.csv").write_text(text.replace("4,Marsh Wren", "3,Swamp Wren"))
    assert "3 is 'Swamp Wren' here and 'Marsh Wren' there" in refusal(main, *given)
    (tmp_path / "classes.csv").write_text("class_id,class_name\n")
    assert "holds no class" in refusal(main, *given)


def test_a_template_or_a_noun_that_cannot_work_is_refused(tmp_path: Path) -> None:
    told = refusal(main, *argv(tmp_path, ROWS, naming="added", template="a {name}"))
    assert "--settings: template: should hold {class_name} and {text} once each" in told
    told = refusal(main, *argv(tmp_path, ROWS, naming="removed", thing="blue jay"))
    assert "classes called as what would stand for their name (1): Blue Jay" in told


# ---------------------------------------------------------------- cut to fit


def test_long_texts_are_cut_and_keep_class_image_field_and_every_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = "Its long tail is brown and its short bill is grey with a paler base."
    long = " ".join([sentence] * 12)
    endless = "grey " * 200 + "end"
    rows: list[Row] = [("1", "7", "caption", long), ("2", "8", "caption", endless), ("3", "9", "caption", "Brown.")]
    log = said(main, capsys, *argv(tmp_path, rows))
    out = read_csv(tmp_path / "out.csv", TEXT_COLUMNS)
    tokenizer = load_tokenizer(AVIARY)
    assert all(tokenizer.count(row["text"]) <= tokenizer.context for row in out)
    for class_id, image_id, field, text in rows:
        pieces = [row for row in out if row["class_id"] == class_id]
        assert " ".join(row["text"] for row in pieces).split() == text.split()
        assert {(row["class_name"], row["image_id"], row["field"]) for row in pieces} == {
            (NAMES[class_id], image_id, field)
        }
        assert (len(pieces) > 1) == (class_id != "3")
    assert all(row["text"].endswith("base.") for row in out if row["class_id"] == "1")
    assert "2 texts exceed 77 tokens and were cut into" in log
    assert "1 between sentences, 1 between words" in log
    assert "part 1 of" in page(tmp_path) and "cut between words" in page(tmp_path)


def test_an_added_name_leaves_room_for_itself(tmp_path: Path) -> None:
    long = " ".join(["Its long tail is brown."] * 40)
    texts = checked(tmp_path, [(class_id, "", "Size", long) for class_id in NAMES], naming="added")
    tokenizer = load_tokenizer(AVIARY)
    assert all(text.startswith(("a photo of a ", "a photo of an ")) for text in texts)
    assert max(map(tokenizer.count, texts)) <= 77
    said_again = [text.partition(", ")[2] for text in texts]
    assert " ".join(said_again).casefold() == " ".join([long] * 3).casefold()


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_finds_nothing_left_to_cut(
    folders: dict[str, Path], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = f"{LOCAL}{folders[kind]}"
    rows: list[Row] = [(c, "", "Size", " ".join(["A red bird, small and brown, or so."] * 5)) for c in NAMES]
    encode = [*as_settings(model=model, pretrained="", precision="fp32"), "--texts"]
    out = ["--out", str(tmp_path / "features.safetensors")]
    main(argv(tmp_path, rows, model))
    assert "exceed" in said(encode_texts.main, capsys, *out, *encode, tmp_path / "raw.csv")
    assert "exceed" not in said(encode_texts.main, capsys, *out, *encode, tmp_path / "out.csv")


# ---------------------------------------------------------------- names


def test_names_removed_and_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(tmp_path, ROWS, naming="removed")[2] == "The bird is large."
    assert checked(tmp_path, ROWS, naming="removed", thing="corvid")[2] == "The corvid is large."
    texts = checked(tmp_path, ROWS, naming="added", template="{text} It is a {class_name}.")
    assert texts[2:4] == ["The Fish Crow is large.", "Black all over. It is a Fish Crow."]
    rows = read_csv(tmp_path / "out.csv", TEXT_COLUMNS)
    assert all(has_name(row["text"], row["class_name"]) for row in rows)


def test_names_found_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = said(main, capsys, *argv(tmp_path, ROWS))
    assert "1 texts name their class as written; with naming as-is; the tables call the source unnamed" in log
    assert "1 texts name another class: Fish Crow (1)" in log
    assert "the tables call the source named" in said(main, capsys, *argv(tmp_path, ROWS, naming="added"))
    assert "[names Fish Crow\\]" in page(tmp_path).replace("names its class; ", "")


def test_checking_what_was_checked_changes_nothing(tmp_path: Path) -> None:
    for names in ("as-is", "removed", "added"):
        more: dict[str, Any] = {"naming": names, "visible_only": True}
        first = checked(tmp_path, ROWS, **more)
        rows = [
            (row["class_id"], row["image_id"], row["field"], row["text"])
            for row in read_csv(tmp_path / "out.csv", TEXT_COLUMNS)
        ]
        assert checked(tmp_path, rows, **more) == first


# ---------------------------------------------------------------- repeats, visibility


def test_repeats_are_told_within_classes_and_across(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = said(main, capsys, *argv(tmp_path, [*ROWS, ("3", "", "Eyes", "Black all over!")]))
    assert "1 texts repeat one of their class" in log
    assert "1 different texts occur in several classes and do not distinguish them: 'black all over' (2 classes)" in log
    assert page(tmp_path).count("2 times in this class; also in 1 other class\\]") == 2


def test_near_empty_texts_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "1 texts have fewer than 3 words" in said(main, capsys, *argv(tmp_path, [*ROWS, ("3", "", "Eyes", "Dark.")]))
    assert "- Dark. **\\[1 word\\]**" in page(tmp_path)


def test_what_is_not_visible_is_flagged_and_by_setting_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "anything of 2 of their sentences" in said(main, capsys, *argv(tmp_path, ROWS))
    assert "Small and slim. *It feeds on acorns.* **\\[not visible: diet\\]**" in page(tmp_path)
    log = said(main, capsys, *argv(tmp_path, ROWS, visible_only=True))
    assert "dropped 2 sentences that no photograph shows, and with them 1 whole texts" in log
    texts = [row["text"] for row in read_csv(tmp_path / "out.csv", TEXT_COLUMNS)]
    assert texts == ["Small and slim.", *(text for _, _, _, text in ROWS[1:4]), "black all over"]
    assert "Small and slim. ~~It feeds on acorns.~~ **\\[dropped: diet\\]**" in page(tmp_path)
    assert "- ~~Its song is a rattle.~~ **\\[dropped: sound\\]**" in page(tmp_path)


def test_a_class_called_like_a_place_is_no_place(tmp_path: Path) -> None:
    main(argv(tmp_path, [(c, "", "Size", "The marsh wrens and the fish crow") for c in NAMES]))
    assert "not visible" not in page(tmp_path).partition("## Blue Jay")[2]


def test_an_image_keeps_its_captions_where_dropping_would_leave_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[Row] = [
        (class_id, image, "caption", text)
        for class_id in NAMES
        for image, text in (
            (f"{class_id}1", "It sings."),
            (f"{class_id}2", "It sings."),
            (f"{class_id}2", "It is red."),
        )
    ]
    log = said(main, capsys, *argv(tmp_path, rows, visible_only=True))
    out = read_csv(tmp_path / "out.csv", TEXT_COLUMNS)
    assert [(row["image_id"], row["text"]) for row in out[:2]] == [("11", "It sings."), ("12", "It is red.")]
    assert {row["image_id"] for row in out} == {row[1] for row in rows}
    assert "3 images keep their captions" in log


# ---------------------------------------------------------------- the page


def test_captions_are_grouped_by_image_and_those_left_out_counted(tmp_path: Path) -> None:
    rows: list[Row] = [
        (class_id, f"{class_id}{image}", "caption", f"text {number} of image {image} of {class_id}")
        for class_id in NAMES
        for image in range(5)
        for number in range(2)
    ]
    main(argv(tmp_path, rows, images_shown=2))
    told = page(tmp_path)
    assert told.count("**Image ") == 6 and told.count("\n- text ") == 12
    assert told.count("(6 texts of 3 more images are left out here)") == 3
    assert "| Blue Jay (class 1) | 10 |" in told


def test_sentences_are_grouped_by_field_in_order(tmp_path: Path) -> None:
    main(argv(tmp_path, [*ROWS, ("1", "", "Size", "Slim.")]))
    blue = page(tmp_path).partition("## Blue Jay")[2].partition("## Fish Crow")[0]
    assert [line for line in blue.splitlines() if line.startswith("**")] == ["**Size**", "**Coloration**"]
    assert blue.index("Slim.") < blue.index("Blue above")
