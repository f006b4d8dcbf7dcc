"""What a reply says and whether it can be used: Markdown and JSON as LLMs write them, and what is wrong with others."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.core.errors import FieldguideError
from fieldguide.texts.naming import NameIndex, find_other_class, has_name
from fieldguide.texts.replies import find_error, parse_reply, reply_texts, surplus_fields

FIELDS = ("Size", "Coloration", "Eyes")
WANTED = {"Size": "Small: 12 cm.", "Coloration": "Red above, buff below.", "Eyes": "Dark."}

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
    "full-width colons": "**Size**：Small: 12 cm.\n**Coloration：** Red above, buff below.\n**Eyes**：Dark.",
    "full-width numbers": "1、Size：Small: 12 cm.\n2、Coloration：Red above, buff below.\n3、Eyes：Dark.",
    "brackets": "【Size】Small: 12 cm.\n【Coloration】Red above, buff below.\n【Eyes】Dark.",
    "French spaces": "Size\u00a0: Small: 12 cm.\nColoration\u202f: Red above, buff below.\nEyes\u00a0: Dark.",
    "full width, a field too many": "**Size**：Small: 12 cm.\n**Habitat**：Reeds."
    "\n**Coloration**：Red above, buff below.\n**Eyes**：Dark.",
    "a table": "| Field | What it is |\n|:---|---|\n| Size | Small: 12 cm. |"
    "\n| **Coloration** | Red above, buff below. |\n| Eyes | Dark. |",
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


def test_names_ignore_case_and_punctuation() -> None:
    assert has_name("The black-footed albatross, of course.", "Black_footed Albatross")
    assert not has_name("an animal", "Ani")


# ---------------------------------------------------------------- JSON

OBJECTS = {
    "as asked": json.dumps(WANTED),
    "indented": json.dumps(WANTED, indent=2),
    "fenced": f"```json\n{json.dumps(WANTED, indent=2)}\n```",
    "lower case": json.dumps({key.lower(): value for key, value in WANTED.items()}),
    "a field too many": json.dumps({"Habitat": "Reeds.", **WANTED}),
    "lists": json.dumps({"Size": ["Small:", "12 cm."], "Coloration": ["Red above,", "buff below."], "Eyes": "Dark."}),
    "Markdown within": json.dumps({**WANTED, "Coloration": "- **Red** above,\n- buff below."}),
    "line separators": json.dumps({**WANTED, "Size": "Small:\u202812 cm."}, ensure_ascii=False),
}


OBJECTS |= {
    "in prose": f"Here is the JSON:\n{json.dumps(WANTED)}\nAnything else?",
    "in a fence in prose": f"Here it is:\n```json\n{json.dumps(WANTED, indent=1)}\n```\nLet me know!",
    "after a draft": f'First {{"Size": "large"}}, then {json.dumps(WANTED)}.',
    "within another": json.dumps({"bird": {"description": WANTED}}),
    "in a list": json.dumps([WANTED]),
}


@pytest.mark.parametrize("reply", OBJECTS.values(), ids=OBJECTS.keys())
def test_json_is_read(reply: str) -> None:
    assert parse_reply(reply, FIELDS) == WANTED


@given(
    st.dictionaries(st.sampled_from(FIELDS), st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1))
)
def test_json_and_markdown_say_the_same(texts: dict[str, str]) -> None:
    markdown = "\n".join(f"**{name}**: {text}" for name, text in texts.items())
    assert parse_reply(json.dumps(texts), FIELDS) == parse_reply(markdown, FIELDS) == texts


@given(st.text())
def test_any_reply_can_be_judged(reply: str) -> None:
    error = find_error(reply, "stop", False, "Reed Warbler", FIELDS, NameIndex(["Sedge Warbler"]))
    found = parse_reply(reply, FIELDS)
    assert error is not None or all(found[field].strip() for field in FIELDS)


def test_a_reply_nested_beyond_reason_is_no_json() -> None:
    assert (
        find_error("{" + '"a":{' * 100_000, "stop", False, "Reed Warbler", FIELDS, NameIndex([])) == "is not valid JSON"
    )


def test_fields_not_asked_for_are_named_in_both_forms() -> None:
    assert surplus_fields('{"Size": "a", "Song": "b"}', FIELDS) == ["Song"]
    assert surplus_fields("**Size**: a\n**Song**: b", FIELDS) == ["Song"]


# ---------------------------------------------------------------- faults

GOOD = "**Size**: Small.\n**Coloration**: Red.\n**Eyes**: Dark."


def judged(reply: str, finish: str | None = "stop", refused: bool = False, name: str = "Reed Warbler") -> str | None:
    classes = ["Reed Warbler", "Great Reed Warbler", "Sedge Warbler", "Warbler", "Dunnock", "Rose"]
    return find_error(reply, finish, refused, name, FIELDS, NameIndex(classes))


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (GOOD, None),
        ("", "is empty"),
        (" \n ", "is empty"),
        ("I'm sorry, but I can't describe it.", "declined to answer"),
        ("I cannot help with that.", "declined to answer"),
        ("I'm happy to help!", "lacks the fields Size, Coloration, Eyes"),
        ("**Size**: Small.\n**Eyes**: Dark.", "lacks the field Coloration"),
        ('{"Size": "Small.", "Coloration": "Red."', "is not valid JSON"),
        ("**Size**: –\n**Coloration**: Red.\n**Eyes**: Dark.", "says nothing about Size"),
        (GOOD + " Smaller than the Sedge Warbler.", "names another class, Sedge Warbler"),
        (GOOD + " Unlike a sedge-warbler.", "names another class, Sedge Warbler"),
        (GOOD + " Unlike Sedge Warblers, and the sedgewarbler's song.", "names another class, Sedge Warbler"),
        (GOOD + " A Great Reed Warbler is larger.", "names another class, Great Reed Warbler"),
        (GOOD + " The Reed Warbler is a warbler.", None),
        (GOOD + " As a dunnock has them.", "names another class, Dunnock"),
        (GOOD + " The Reed Warbler has a rose tint.", None),
    ],
)
def test_a_reply_is_judged(reply: str, fault: str | None) -> None:
    assert judged(reply) == fault


@pytest.mark.parametrize(
    "finish", ["length", "LENGTH", "MAX_TOKENS", "max_tokens", "model_length", "max_output_tokens"]
)
def test_a_cut_reply_is_not_used_however_whole_it_looks(finish: str) -> None:
    assert judged(GOOD, finish) == "was cut off at the length limit; be briefer"
    assert "reasoning took all tokens; raise max_tokens" in str(judged(" ", finish))


@pytest.mark.parametrize("finish", ["content_filter", "SAFETY", "FinishReason.RECITATION", "refusal"])
def test_a_filtered_reply_is_not_used_however_whole_it_looks(finish: str) -> None:
    assert judged(GOOD, finish) == judged("", finish) == judged(GOOD, refused=True) == "declined to answer"


@pytest.mark.parametrize("finish", [None, "", "stop", "STOP", "eos", "end_turn", "FINISH_REASON_STOP", "Completed"])
def test_a_whole_reply_is_used_however_its_end_is_spelt(finish: str | None) -> None:
    assert judged(GOOD, finish) is None


@pytest.mark.parametrize("finish", ["error", "tool_calls", "abort", "unstoppable"])
def test_what_ended_otherwise_is_not_used(finish: str) -> None:
    assert judged(GOOD, finish) == f"broke off (finish_reason '{finish}')"


def test_a_class_may_be_named_within_a_longer_name_of_its_own() -> None:
    assert (
        find_other_class("the great reed warbler", "Great Reed Warbler", NameIndex(["Reed Warbler", "Warbler"])) is None
    )
    assert find_other_class("a rose bush", "Sunflower", NameIndex(["Rose"])) == "Rose"
