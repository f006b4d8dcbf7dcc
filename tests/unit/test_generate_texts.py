"""Replaying a ledger: Markdown as LLMs write it, and every refusal a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from fieldguide.errors import FieldguideError
from fieldguide.files import read_csv
from fieldguide.generate_texts import COLUMNS, main, parse_reply, reply_texts, words
from fieldguide.ledger import append_record, request_for, synthetic_record

FIELDS = ("Size", "Coloration", "Eyes")
WANTED = {"Size": "Small: 12 cm.", "Coloration": "Red above, buff below.", "Eyes": "Dark."}
PROMPT = "Describe {class_name} by {fields}."

VARIANTS = {
    "colon outside": "**Size**: Small: 12 cm.\n**Coloration**: Red above, buff below.\n**Eyes**: Dark.",
    "colon inside": "**Size:** Small: 12 cm.\n\n**Coloration:** Red above, buff below.\n\n**Eyes:** Dark.\n",
    "bullets": "- **Size**: Small: 12 cm.\n- **Coloration**: Red above, buff below.\n- **Eyes**: Dark.",
    "stars": "* **Size:** Small: 12 cm.\n* **Coloration:** Red above, buff below.\n* **Eyes:** Dark.",
    "numbered": "1. **Size**: Small: 12 cm.\n2. **Coloration**: Red above, buff below.\n3. **Eyes**: Dark.",
    "numbered inside": "**1. Size**: Small: 12 cm.\n**2. Coloration**: Red above, buff below.\n**3. Eyes:** Dark.",
    "headings": "### Size\n\nSmall: 12 cm.\n\n### Coloration\nRed above,\nbuff below.\n\n### Eyes\nDark.",
    "bold headings": "## **Size:**\nSmall: 12 cm.\n## **Coloration**\nRed above, buff below.\n## 3. Eyes\nDark.",
    "plain": "Size: Small: 12 cm.\nColoration: Red above, buff below.\nEyes: Dark.",
    "plain numbers": "1) Size: Small: 12 cm.\n2) Coloration: Red above, buff below.\n3) Eyes: Dark.",
    "dash": "**Size** – Small: 12 cm.\n**Coloration** - Red above, buff below.\n**Eyes** — Dark.",
    "case and underscores": "__SIZE__: Small: 12 cm.\n__coloration__: Red above, buff below.\n__eyes__: Dark.",
    "many lines": "**Size**:\nSmall:\n12 cm.\n**Coloration**:\n- Red above,\n- buff below.\n**Eyes**:\n\nDark.",
    "emphasis": "**Size**: *Small*: `12 cm`.\n**Coloration**: **Red** above, _buff_ below.\n**Eyes**: Dark.",
    "preamble": "# Calder Mirefinch\nHere you are:\n\n**Size**: Small: 12 cm.\n**Coloration**: Red above, buff below."
    "\n**Eyes**: Dark.",
    "closing remark": "**Size**: Small: 12 cm.\n**Coloration**: Red above, buff below.\n**Eyes**: Dark.\n\nGood luck!",
    "fence": "```markdown\n**Size**: Small: 12 cm.\n**Coloration**: Red above, buff below.\n**Eyes**: Dark.\n```",
    "a field too many": "**Size**: Small: 12 cm.\n**Habitat**: Reeds.\n**Coloration**: Red above, buff below."
    "\n**Eyes**: Dark.\n**Song**: A trill.",
    "windows": "**Size**: Small: 12 cm.\r\n**Coloration**: Red above, buff below.\r\n**Eyes**: Dark.\r\n",
    "other order": "**Eyes**: Dark.\n**Coloration**: Red above, buff below.\n**Size**: Small: 12 cm.",
}


@pytest.mark.parametrize("reply", VARIANTS.values(), ids=VARIANTS.keys())
def test_markdown_is_read_as_llms_write_it(reply: str) -> None:
    assert parse_reply(reply, FIELDS) == WANTED
    assert reply_texts(reply, FIELDS, "here") == list(WANTED.values())


def test_labels_of_another_look_stay_in_their_field() -> None:
    reply = "**Size**: Small.\n**Coloration**:\n  - **Male**: red.\n  - **Female**: buff.\n**Eyes**: Dark; male: pale."
    assert parse_reply(reply, FIELDS)["Coloration"] == "Male: red. Female: buff."
    assert parse_reply(reply, FIELDS)["Eyes"] == "Dark; male: pale."


def test_a_field_name_that_begins_a_sentence_is_no_label() -> None:
    reply = "**Size**: Small.\nSize varies with age.\n**Coloration**: Red.\n**Eyes**: Dark.\nEyes are round."
    assert parse_reply(reply, FIELDS) == {
        "Size": "Small. Size varies with age.",
        "Coloration": "Red.",
        "Eyes": "Dark. Eyes are round.",
    }


def test_measurements_keep_their_signs() -> None:
    assert parse_reply("**Size**: 12–14 cm, 8 * 3 mm, snake_case_word.", ["Size"]) == {
        "Size": "12–14 cm, 8 * 3 mm, snake_case_word."
    }


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("**Size**: Small.\n**Eyes**: Dark.", r"lacks the field 'Coloration' \(it has Size, Eyes\)"),
        ("I cannot help with that.", r"lacks the field 'Size' \(it has none"),
        ("**Size**: Small.\n**Coloration**: –\n**Eyes**: Dark.", "'Coloration' is empty"),
        ("**Size**:\n**Coloration**: Red.\n**Eyes**: Dark.", "'Size' is empty"),
    ],
)
def test_a_reply_that_fails_a_field_is_refused(reply: str, told: str) -> None:
    with pytest.raises(FieldguideError, match=told):
        reply_texts(reply, FIELDS, "ledger.jsonl: class 'Calder Mirefinch', reply 2")


def test_words_ignore_case_and_punctuation() -> None:
    assert words("Black_footed Albatross") in words("The black-footed albatross, of course.")
    assert words("Ani") not in words("an animal")


# ---------------------------------------------------------------- the stage


def tell(ledger: Path, name: str, replies: Sequence[str], fields: Sequence[str] = FIELDS) -> None:
    request = request_for(name, PROMPT, "aviary-writer", fields, {})
    for index, reply in enumerate(replies):
        append_record(ledger, synthetic_record(request, index, name, reply))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "prompt.txt").write_text(PROMPT + "\n")
    (tmp_path / "classes.csv").write_text("class_id,class_name\n10,Ten\n2,Two\n")
    return tmp_path


def run(place: Path, *more: str) -> None:
    options = ["--source", "aviary-llm", "--model", "aviary-writer", "--replies-per-class", "2", "--fields", *FIELDS]
    for name, file in (("ledger", "l.jsonl"), ("prompt", "prompt.txt"), ("classes", "classes.csv"), ("out", "t.csv")):
        options += [f"--{name}", str(place / file)]
    main([*options, *more])


def reply(size: str, eyes: str = "Dark.") -> str:
    return f"**Size**: {size}\n**Coloration**: Red.\n**Eyes**: {eyes}"


def test_rows_come_by_class_id_then_reply_then_field(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell(place / "l.jsonl", "Ten", [reply("a"), reply("b"), reply("never taken")])
    tell(place / "l.jsonl", "Two", [reply("c"), reply("d", "The two has dark eyes.")])
    run(place)
    rows = read_csv(place / "t.csv", COLUMNS)
    assert list(rows[0]) == list(COLUMNS)
    assert [row["class_id"] for row in rows] == ["2"] * 6 + ["10"] * 6
    assert [row["field"] for row in rows] == list(FIELDS) * 4
    assert [row["text"] for row in rows if row["field"] == "Size"] == ["c", "d", "a", "b"]
    assert {row["image_id"] for row in rows} == {""}
    told = capsys.readouterr().err
    assert "12 texts about 2 classes, 3 of them duplicates" in told and "1 name their class" in told


def test_missing_replies_are_counted_by_class(place: Path) -> None:
    tell(place / "l.jsonl", "Two", [reply("c")])
    with pytest.raises(SystemExit) as caught:
        run(place)
    message = str(caught.value)
    for part in (
        "l.jsonl",
        "3 replies",
        "2 classes",
        "Ten (2)",
        "Two (1)",
        "not part of this",
        "texts.aviary-llm.ledger",
    ):
        assert part in message
    assert not (place / "t.csv").exists()


def test_replies_to_another_question_do_not_count(place: Path) -> None:
    for name in ("Two", "Ten"):
        tell(place / "l.jsonl", name, [reply("a"), reply("b")])
    with pytest.raises(SystemExit, match="another model, prompt"):
        run(place, "--model", "gpt-3.5-turbo")
    with pytest.raises(SystemExit, match="4 replies are missing"):
        run(place, "--parameters", '{"temperature": 0.7}')


def test_a_ledger_that_is_not_there_is_said_to_be_so(place: Path) -> None:
    with pytest.raises(SystemExit, match="there is no such file"):
        run(place)


def test_a_failed_reply_is_named_by_class_field_and_number(place: Path) -> None:
    tell(place / "l.jsonl", "Two", [reply("a"), reply("b")])
    tell(place / "l.jsonl", "Ten", [reply("a"), "**Size**: b\n**Eyes**: c"])
    with pytest.raises(SystemExit, match=r"class 'Ten', reply 2: lacks the field 'Coloration'"):
        run(place)
    assert not (place / "t.csv").exists()


@pytest.mark.parametrize("parameters", ["{", "[1]", '{"temperature": NaN}'])
def test_parameters_must_be_a_json_object(place: Path, parameters: str) -> None:
    with pytest.raises(SystemExit, match="--parameters"):
        run(place, "--parameters", parameters)
