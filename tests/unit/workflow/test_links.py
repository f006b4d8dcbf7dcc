"""Any path can be named to Snakemake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fieldguide.core.errors import FieldguideError
from fieldguide.workflow.links import FOLDER, is_plain, link_folder, link_output, link_path, refuse_checkout

PLAIN = ("data/cub.tgz", "my results/it's ü/a=b", "~x/$HOME/100%", "", "-o")
SPECIAL = ("a {x} b/c.csv", "a/<x>/c.csv", "{x}", "/tmp/}/c d/e", "a/b > c")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("path", PLAIN)
def test_what_snakemake_takes_stays_as_it_is(path: str) -> None:
    assert link_path(path) == link_folder(path) == link_output("key", path) == path
    assert not FOLDER.exists()


@pytest.mark.parametrize("path", SPECIAL)
def test_what_it_would_read_as_a_wildcard_is_named_by_a_link(path: str, tmp_path: Path) -> None:
    named = link_path(path)
    assert is_plain(named) and link_path(path) == named
    assert FOLDER in Path(named).parents and Path(named).suffix == Path(path).suffix
    # The same file, whatever it is called.
    whole = Path(path)
    if not whole.is_absolute():
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text("content")
        assert Path(named).read_text() == "content"
        (link,) = FOLDER.glob("*/*")
        assert link.is_symlink() and os.lstat(link).st_mtime == 0


def test_paths_below_one_folder_share_its_link() -> None:
    one, two = link_path("a/{x}/b/one.csv"), link_path("a/{x}/b/two.csv")
    assert Path(one).parent == Path(two).parent
    assert one.endswith("/b/one.csv")
    assert len(list(FOLDER.iterdir())) == 1


def test_a_link_moves_with_the_folder_that_it_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old" / "{x}").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "old")
    named = link_path("{x}/file")
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "new" / "{x}" / "file").write_text("content")
    assert (tmp_path / "new" / named).read_text() == "content"


def test_a_folder_to_make_is_there() -> None:
    named = link_folder("my {results}/cub")
    (Path(named) / "tables").mkdir()
    assert Path("my {results}/cub/tables").is_dir()


def test_a_file_to_make_has_a_plain_name() -> None:
    named = link_output("data.cub.path", "my {data}/cub.tgz")
    Path(named).write_text("archive")
    assert Path("my {data}/cub.tgz").read_text() == "archive"
    with pytest.raises(FieldguideError, match=r"data\.cub\.path.*'cub\{1\}\.tgz'.*without \{ \} < and >"):
        link_output("data.cub.path", "data/cub{1}.tgz")


def test_the_repository_itself_lies_in_a_plain_place() -> None:
    refuse_checkout(Path("/home/me/a b=c'd ~ü"))
    with pytest.raises(FieldguideError, match=r"/home/<me>: .* move this repository"):
        refuse_checkout(Path("/home/<me>"))
