"""What the guide says of a class: found in any spelling, near names offered, texts by source and field."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_csv
from fieldguide.data.records import CLASS_COLUMNS, IMAGE_COLUMNS
from fieldguide.inference.results_folder import find_class, find_results
from fieldguide.inference.show import main
from fieldguide.texts.table import TEXT_COLUMNS
from tests.tiny_data import refusal

NAMES = ("Black-footed Albatross", "Sooty Albatross", "Brewer's Blackbird", "Scarlet Tanager")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results of four classes with LLM texts in two fields, captions of images, and a table made of names."""
    folder = tmp_path / "results" / "birds"
    classes = [(str(n), name, f"{n:03}.{name.replace(' ', '_')}") for n, name in enumerate(NAMES, 1)]
    write_csv(
        folder / "records/classes.csv", CLASS_COLUMNS, (dict(zip(CLASS_COLUMNS, row, strict=True)) for row in classes)
    )
    images = [(str(n), f"images/{n}.jpg", str(n % 4 + 1), "train" if n < 9 else "test") for n in range(1, 13)]
    write_csv(
        folder / "records/images.csv", IMAGE_COLUMNS, (dict(zip(IMAGE_COLUMNS, row, strict=True)) for row in images)
    )

    def texts(name: str, rows: list[tuple[str, ...]]) -> None:
        write_csv(
            folder / f"texts/{name}.csv", TEXT_COLUMNS, (dict(zip(TEXT_COLUMNS, row, strict=True)) for row in rows)
        )

    texts("llm", [(c, n, "", f, f"{f} of {n}, {i}") for c, n, _ in classes for f in ("Size", "Beak") for i in "aab"])
    captions = [("1", NAMES[0], i, "caption", f"caption {k} of image {i}") for i in ("4", "8") for k in range(10)]
    texts("reed", captions)
    texts("llm-with-names", [("1", NAMES[0], "", "Size", "a photo of a bird")])
    return folder


def shown(capsys: pytest.CaptureFixture[str], results: Path, *argv: str) -> str:
    main([*argv, "--results", str(results)])
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["Sooty Albatross", "sooty_albatross", "2", "002.Sooty_Albatross", "sooty", "SOOTY-ALBATROSS"]
)
def test_a_class_is_found_as_people_type_it(results: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert shown(capsys, results, name).startswith("Sooty Albatross (class 2 of ")


def test_words_need_no_quotes(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Brewer's Blackbird (class 3" in shown(capsys, results, "brewers", "blackbird")


def test_texts_by_source_and_field(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(capsys, results, "1")
    assert "2 training and 1 test images, such as images/4.jpg" in told
    assert "llm: 6 texts\n  Size\n    - Size of Black-footed Albatross, a (2 times)\n" in told
    assert "reed: 20 captions" in told and "… and 10 more (--all)" in told and "caption 0 of image 8" not in told
    assert "with-names" not in told
    assert "caption 9 of image 8" in shown(capsys, results, "1", "--all")
    assert "llm" not in shown(capsys, results, "1", "--texts", "reed")


def test_json(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = json.loads(shown(capsys, results, "scarlet", "--json"))
    assert about["class_id"] == "4" and len(about["images"]["train"]) == 2
    assert about["texts"]["reed"] == [] and about["texts"]["llm"][0]["field"] == "Size"
    assert [row["class_name"] for row in json.loads(shown(capsys, results, "--list", "--json"))] == list(NAMES)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Sooti Albatros", "did you mean Sooty Albatross"),
        ("albatross", "may be Black-footed Albatross (class 1), Sooty Albatross (class 2)"),
        ("penguin of the north", "--list"),
        ("17", "no class '17'"),
    ],
)
def test_what_is_no_class_is_told_with_the_way_out(results: Path, name: str, words: str) -> None:
    said = refusal(main, name, "--results", str(results))
    assert words in said


def test_an_unknown_source_is_told_with_those_there_are(results: Path) -> None:
    assert "it has llm, reed" in refusal(main, "1", "--texts", "gpt", "--results", str(results))


def test_the_newest_results_are_taken(results: Path, tmp_path: Path) -> None:
    other = tmp_path / "results" / "cars"
    write_csv(other / "records/classes.csv", CLASS_COLUMNS, [])
    os.utime(other / "records/classes.csv", (1, 1))
    assert find_results(tmp_path / "results") == results and find_results(other) == other
    (other / "adapters").mkdir()
    (other / "adapters" / "ratio-100.json").write_text("{}")
    assert find_results(tmp_path / "results") == other
    with pytest.raises(FieldguideError, match="holds no results"):
        find_results(tmp_path / "nothing")


def test_an_exact_name_wins_over_a_part() -> None:
    classes = [{"class_id": "1", "class_name": "Tern"}, {"class_id": "2", "class_name": "Least Tern"}]
    assert find_class("tern", classes)["class_id"] == "1"


def test_a_closed_pipe_is_no_error(results: Path) -> None:
    code = "import sys; from fieldguide.inference.show import main; main(sys.argv[1:])"
    argv = [sys.executable, "-c", code, "1", "--all", "--results", str(results)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
