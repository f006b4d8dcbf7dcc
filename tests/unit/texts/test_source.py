"""Text sources on a command line."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from fieldguide.texts.options import SourceFiles, add_source_option


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_source_option(parser)
    return parser


def test_each_option_is_a_source(parser: argparse.ArgumentParser) -> None:
    words = ["--source", "reed", "a.csv", "t.st", "--source", "gpt=4", "b=c.csv"]
    assert parser.parse_args([*words, "", "r .st"]).source == [
        SourceFiles("reed", Path("a.csv"), Path("t.st")),
        SourceFiles("gpt=4", Path("b=c.csv"), None, Path("r .st")),
    ]
    assert parser.parse_args([]).source == parser.parse_args([]).source == []


@pytest.mark.parametrize("words", ["reed", "reed a.csv", "reed a.csv t.st r.st more"])
def test_other_numbers_of_files_are_refused(
    parser: argparse.ArgumentParser, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser.parse_args(["--source", *words.split()])
    assert "is not NAME TABLE TRANSLATED [RAW]" in capsys.readouterr().err
