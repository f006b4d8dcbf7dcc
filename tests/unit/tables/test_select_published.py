"""Published figures stand beside a data set by what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fieldguide.tables.rows import PUBLISHED_COLUMNS, read_published
from fieldguide.tables.select_published import describe_difference, main
from tests.tiny_data import write_lines
from tests.unit.workflow.configurations import ROOT

FIGURES = ROOT / "workflow/resources/published.csv"
CUB = ROOT / "workflow/resources/cub_classes.txt"


def select(folder: Path, classes: list[str], of: Path = CUB, sources: dict[str, str] | None = None) -> list[str]:
    rows = [f"{number},{name},{name}" for number, name in enumerate(classes, 1)]
    write_lines(folder / "classes.csv", ["class_id,class_name,folder", *rows])
    out = folder / "published.csv"
    settings = ["--settings", json.dumps({"sources": sources or {}})]
    files = ["--classes", str(folder / "classes.csv"), "--of", str(of), "--figures", str(FIGURES), "--out", str(out)]
    main([*files, *settings])
    return out.read_text(encoding="utf-8").splitlines()


def test_cub_has_its_figures(tmp_path: Path) -> None:
    names = CUB.read_text(encoding="utf-8").split()
    assert len(names) == 200
    assert select(tmp_path, names[::-1]) == FIGURES.read_text(encoding="utf-8").splitlines()


def test_figures_stand_under_the_name_of_the_source_in_their_place(tmp_path: Path) -> None:
    select(tmp_path, CUB.read_text(encoding="utf-8").split(), sources={"gpt-6-luna": "gpt-3.5-turbo"})
    before, after = read_published(FIGURES), read_published(tmp_path / "published.csv")
    changed = [figure for figure in after if figure.published_as]
    assert {(figure.text_source, figure.published_as) for figure in changed} == {("gpt-6-luna", "gpt-3.5-turbo")}
    restored = [f._replace(text_source=f.published_as or f.text_source, published_as="") for f in after]
    assert restored == before and len(changed) == 10


def test_another_data_set_has_none_whatever_it_is_called(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names = CUB.read_text(encoding="utf-8").split()
    assert select(tmp_path, names[:-1]) == [",".join(PUBLISHED_COLUMNS)]
    assert names[-1] + " missing here" in capfd.readouterr().err
    assert select(tmp_path, [*names[:-1], "200.Dodo"]) == [",".join(PUBLISHED_COLUMNS)]


def test_a_difference_in_words() -> None:
    assert describe_difference(["a", "b"], ["b", "a"]) == ""
    assert describe_difference(["a", "c"], ["a", "b"]) == "b missing here; c not among theirs"


def test_an_empty_list_of_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="lists no class"):
        select(tmp_path, ["a"], tmp_path / "none.txt")
