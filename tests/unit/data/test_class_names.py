"""Class names: what the rule matches, what it leaves, and that it never gives a class to two names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fieldguide.core.errors import FieldguideError
from fieldguide.data.class_names import ClassRule, key_of, match_names, number_of, report, words_of
from fieldguide.data.records import class_name


def classes(*folders: str) -> list[dict[str, str]]:
    return [
        {"class_id": str(number), "class_name": class_name(folder), "folder": folder}
        for number, folder in enumerate(folders, 1)
    ]


BIRDS = classes(
    "001.Black_footed_Albatross", "002.Brewer_Blackbird", "003.Cardinal", "004.Chuck_will_Widow",
    "005.Harris_Sparrow", "006.Nelson_Sharp_tailed_Sparrow", "007.Whip_poor_Will", "008.Black_and_white_Warbler",
)  # fmt: skip


def matched(name: str, rows: Sequence[dict[str, str]] = BIRDS, **names: str) -> str | None:
    return match_names([name], rows, names).class_ids.get(name)


@pytest.mark.parametrize(
    ("name", "class_id"),
    [
        ("Cardinal", "3"),
        ("017.Cardinal", "3"),
        ("cardinal", "3"),
        ("  CARDINALS ", "3"),
        ("cardinal's", "3"),
        ("3", "3"),
        ("003", "3"),
        ("black_footed_albatross", "1"),
        ("Black-footed Albatross", "1"),
        ("Blackfooted-albatross", "1"),
        ("Black–footed albatrosses", None),
        ("Brewer's Blackbird", "2"),
        ("Brewer\u2019s Blackbirds", "2"),
        ("009.Brewers_Blackbird", "2"),
        ("Chuck-will's-widow", "4"),
        ("Harris's Sparrow", "5"),
        ("122.Harriss_Sparrow", "5"),
        ("Whip-poor-will", "7"),
        ("whippoorwill", "7"),
        ("Black & White Warbler", "8"),
        ("Black-and-white Warbler", "8"),
        ("Cardiñal", "3"),
        ("Nelson's Sparrow", None),
        ("Cardinal bird", None),
        ("Cardina", None),
        ("Cardinalss", None),
        ("9", None),
        ("", None),
        ("?", None),
    ],
)
def test_the_rule(name: str, class_id: str | None) -> None:
    assert matched(name) == class_id


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("017.Cardinal", 17),
        ("17. Cardinal", 17),
        ("Cardinal", None),
        ("747-400", None),
        ("2.5 ton", None),
        ("2012 BMW", None),
        ("1.8T Sedan", None),
        ("0.5 mm", None),
        ("101.5 FM", None),
        ("001.1.8T Sedan", 1),
        ("012.747-400", 12),
        ("12.'Apapane", 12),
        ("007.", None),
        ("3.14", None),
        ("1.2.3", None),
        ("x 1.y", None),
    ],
)
def test_only_a_number_with_a_dot_before_a_word_is_a_number_in_front(name: str, number: int | None) -> None:
    assert number_of(name) == number


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("1.8T Sedan", "1.8T Sedan"),
        ("2.5_ton_truck", "2.5 ton truck"),
        ("001.1.8T_Sedan", "1.8T Sedan"),
        ("017.747-400", "747-400"),
        ("0.000000000000000000e+00", "0.000000000000000000e+00"),
        ("St. Lucia Parrot", "St. Lucia Parrot"),
        ("3.", "3."),
        ("12", "12"),
    ],
)
def test_what_a_class_is_called(folder: str, name: str) -> None:
    assert class_name(folder) == name


def test_numbers_that_belong_to_names_keep_classes_apart() -> None:
    planes = classes("707-320", "727-200", "737-200", "747-200")
    assert match_names(["747-200", "737 200"], planes).class_ids == {"747-200": "4", "737 200": "3"}


def test_the_same_spelling_goes_before_the_same_words() -> None:
    ducks = classes("Mallard ♀", "Mallard ♂", "C++", "C")
    names = ["Mallard ♂", "Mallard ♀", "C", "C++"]
    assert match_names(names, ducks).class_ids == {"Mallard ♂": "2", "Mallard ♀": "1", "C": "4", "C++": "3"}
    unclear = match_names(["mallard"], ducks)
    assert unclear.unmatched == {"mallard": "is as near to Mallard ♀ (class 1) or Mallard ♂ (class 2)"}


def test_the_same_words_go_before_an_s_more_or_less() -> None:
    fish = classes("Bas", "Bass")
    assert match_names(["BASS", "bas"], fish).class_ids == {"BASS": "2", "bas": "1"}
    assert "Basses" in match_names(["Basses"], fish).unmatched


def test_two_names_of_one_class_are_both_left() -> None:
    left = match_names(["Cardinal", "cardinals", "Whip poor Will"], BIRDS)
    assert left.class_ids == {"Whip poor Will": "7"}
    assert left.unmatched["cardinals"] == "is Cardinal (class 3), but so is 'Cardinal'"


def test_a_number_in_front_counts_where_both_lists_number_alike() -> None:
    folders = [row["folder"] for row in BIRDS]
    theirs = [folder.replace("Nelson_Sharp_tailed", "Nelson") for folder in folders]
    assert match_names(theirs, BIRDS).class_ids["006.Nelson_Sparrow"] == "6"
    shifted = [f"{number:03d}.{name.partition('.')[2]}" for number, name in enumerate(theirs, 2)]
    assert list(match_names(shifted, BIRDS).unmatched) == ["007.Nelson_Sparrow"]
    assert list(match_names(["006.Nelson_Sparrow"], BIRDS).unmatched) == ["006.Nelson_Sparrow"], "nothing to go by"


def test_a_number_never_takes_the_class_of_another_name() -> None:
    theirs = ["003.Cardinal", "007.Whip_poor_Will", "002.Black_footed_Albatross", "002.Red_Bird"]
    assert match_names(theirs, BIRDS).class_ids.keys() == {
        "003.Cardinal",
        "007.Whip_poor_Will",
        "002.Black_footed_Albatross",
    }


def test_the_table_of_exceptions() -> None:
    assert matched("Nelson's Sparrow", **{"Nelson's Sparrow": "Nelson Sharp tailed Sparrow"}) == "6"
    assert matched("nelsons_sparrow", **{"Nelson's Sparrow": "6"}) == "6"
    assert matched("Cardinal", Cardinal="Whip_poor_Will") == "7", "the table goes before the rule"
    with pytest.raises(FieldguideError, match="classes that are not there: Red: Cardinl \\[perhaps Cardinal\\]"):
        matched("Red", Red="Cardinl")
    with pytest.raises(FieldguideError, match="entries for names that do not occur: Blue"):
        matched("Red", Red="Cardinal", Blue="Cardinal")
    both = match_names(["Red", "Cardinal"], BIRDS, {"Red": "Cardinal"})
    assert not both.class_ids, "one to one"


def test_all_that_is_left_stands_in_one_report_with_the_closest_candidates() -> None:
    names = [row["class_name"] for row in BIRDS if row["class_name"] != "Cardinal"] + ["Cardnal", "Ostrich"]
    told = report(match_names(names, BIRDS), BIRDS)
    assert told == (
        "names that are no class of the data set (2): Cardnal [perhaps Cardinal]; Ostrich - and "
        "classes that none of the names is (1): Cardinal (class 3)"
    )
    without = report(match_names(names, BIRDS), BIRDS, unknown=False)
    assert without == "classes that none of the names is (1): Cardinal (class 3) [perhaps Cardnal]"
    many = classes(*(f"Bird {chr(97 + i)}{chr(97 + j)}" for i in range(6) for j in range(6)))
    assert all(row["class_name"] in report(match_names([], many), many) for row in many), "not the first ten alone"
    assert report(match_names([row["folder"] for row in BIRDS], BIRDS), BIRDS) == ""


# ---------------------------------------------------------------- CUB's classes

FOLDERS = (Path(__file__).parents[3] / "workflow/resources/cub_classes.txt").read_text(encoding="utf-8").split()
CUB = classes(*FOLDERS)
# How the archive of Reed's captions spells 17 of its class folders (reedscot/icml2016, issue 28).
REED = {
    "009": "Brewers_Blackbird",
    "022": "Chuck_wills_Widow",
    "023": "Brandts_Cormorant",
    "061": "Heermanns_Gull",
    "067": "Annas_Hummingbird",
    "093": "Clarks_Nutcracker",
    "098": "Scotts_Oriole",
    "113": "Bairds_Sparrow",
    "115": "Brewers_Sparrow",
    "122": "Harriss_Sparrow",
    "123": "Henslows_Sparrow",
    "124": "Le_Contes_Sparrow",
    "125": "Lincolns_Sparrow",
    "126": "Nelson_Sparrow",
    "178": "Swainsons_Warbler",
    "180": "Wilsons_Warbler",
    "193": "Bewicks_Wren",
}


def test_reeds_seventeen_spellings_are_all_matched() -> None:
    folders = [f"{folder[:4]}{REED.get(folder[:3], folder[4:])}" for folder in FOLDERS]
    assert len(FOLDERS) == 200 and len(set(folders) - set(FOLDERS)) == 17
    assert match_names(folders, CUB).class_ids == {folder: str(int(folder[:3])) for folder in folders}
    rule = ClassRule(CUB)
    for folder in folders:
        assert [row["class_id"] for row in CUB if rule.is_called(folder, row["class_id"])] == [str(int(folder[:3]))]


def test_without_numbers_only_the_renamed_sparrow_needs_the_table() -> None:
    names = [REED.get(folder[:3], folder[4:]) for folder in FOLDERS]
    assert report(match_names(names, CUB), CUB) == (
        "names that are no class of the data set (1): Nelson_Sparrow [perhaps Nelson Sharp tailed Sparrow] - and "
        "classes that none of the names is (1): Nelson Sharp tailed Sparrow (class 126)"
    )
    assert len(match_names(names, CUB, {"Nelson_Sparrow": FOLDERS[125]}).class_ids) == 200


def test_no_two_of_cubs_names_are_near_each_other() -> None:
    rule = ClassRule(CUB)
    assert all(rule.classes_by_words(row["class_name"]) == [row["class_id"]] for row in CUB)


# ---------------------------------------------------------------- invariants

letters = st.text(alphabet="abcdefghijklmnopqrstuvwxyzéü", min_size=1, max_size=6)
plain_names = st.lists(letters, min_size=1, max_size=4).map(" ".join)


@st.composite
def worlds(draw: st.DrawFn) -> list[dict[str, str]]:
    """Classes whose words differ."""
    names = draw(st.lists(plain_names, min_size=1, max_size=8, unique_by=key_of))
    numbered = draw(st.booleans())
    return classes(*(f"{i:03d}.{name}".replace(" ", "_") if numbered else name for i, name in enumerate(names, 1)))


@st.composite
def respelled(draw: st.DrawFn, name: str) -> str:
    """The same words in another case, with other gaps, accents decomposed, and an apostrophe before an s."""
    words = name.split()
    gap = draw(st.sampled_from([" ", "_", "-", " - ", "/", ", "]))
    case = draw(st.sampled_from([str.upper, str.lower, str.title]))
    number = draw(st.sampled_from(["", "012.", "3. "]))
    marked = [
        word[:-1] + "'s" if word.endswith("s") and len(word) > 1 and draw(st.booleans()) else word for word in words
    ]
    return number + case(gap.join(marked)) + draw(st.sampled_from(["", " ", ".", "!"]))


@given(st.data(), worlds())
def test_case_and_punctuation_do_not_count(data: st.DataObject, rows: list[dict[str, str]]) -> None:
    names = [data.draw(respelled(row["class_name"])) for row in rows]
    assume(len(set(names)) == len(names))
    assert list(match_names(names, rows).class_ids.values()) == [row["class_id"] for row in rows]


@given(worlds(), st.lists(plain_names | st.text(max_size=8), max_size=10, unique=True))
def test_matching_is_one_to_one_and_leaves_nothing_unsaid(rows: list[dict[str, str]], names: list[str]) -> None:
    found = match_names(names, rows)
    assert len(set(found.class_ids.values())) == len(found.class_ids)
    assert found.class_ids.keys() | found.unmatched.keys() == set(names)
    assert not found.class_ids.keys() & found.unmatched.keys()
    assert set(found.lacking) == {row["class_id"] for row in rows} - set(found.class_ids.values())
    assert len(report(found, rows).splitlines()) <= 1


@given(worlds(), st.randoms())
def test_order_does_not_count(rows: list[dict[str, str]], random: object) -> None:
    names = [row["class_name"] + "s" for row in rows] + [row["class_name"] for row in rows[:3]]
    names = list(dict.fromkeys(names))
    mixed = list(names)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert match_names(mixed, rows).class_ids == match_names(names, rows).class_ids


@given(st.integers(0, 99), plain_names | st.builds("{}.{}T {}".format, st.integers(1, 9), st.integers(0, 9), letters))
def test_a_padded_number_in_front_is_taken_off_and_nothing_else_is(number: int, name: str) -> None:
    folder = f"{number:03d}.{name}".replace(" ", "_")
    assert class_name(folder) == name and number_of(folder) == number
    assert class_name(name) == name and number_of(name) is None
    assert words_of(folder) == words_of(name)


@given(st.from_regex(r"\A(0|[1-9][0-9]{0,4})\.[0-9]+( ?[a-z]+)?\Z"))
def test_a_decimal_number_is_never_a_number_in_front(name: str) -> None:
    assert class_name(name) == name and number_of(name) is None


@given(worlds(), plain_names)
def test_no_name_is_given_to_a_class_of_other_words(rows: list[dict[str, str]], name: str) -> None:
    for theirs, class_id in match_names([name], rows).class_ids.items():
        ours = ClassRule(rows).rows[class_id]["class_name"]
        assert key_of(theirs).replace("s", "") == key_of(ours).replace("s", "")
