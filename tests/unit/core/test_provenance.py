"""Which code a stage runs, by its imports, and what a hash of it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

import fieldguide
from fieldguide.core.provenance import HARNESS, code_hash, imported_modules, modules_of

SOURCE = Path(fieldguide.__file__).parents[1]


def write_package(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / "fieldguide" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def names(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


def test_imports_are_found_wherever_they_stand(tmp_path: Path) -> None:
    root = write_package(
        tmp_path,
        {
            "stage_one": """
import json
import fieldguide.plain
from fieldguide import beside
from fieldguide.deep import inside as other

def run():
    from fieldguide.lazy import something
    if something:
        import fieldguide.rare as rare

class Late:
    from fieldguide.aviary import birds
""",
            "plain": "",
            "beside": "",
            "deep": "import numpy",
            "lazy": "from fieldguide.far import x",
            "far": "import fieldguide.stage_one",
            "rare": "",
            "aviary/birds": "",
            "unused": "",
        },
    )
    assert "json" not in imported_modules(root / "fieldguide" / "stage_one.py")
    found = modules_of("stage_one", root)
    assert found == sorted(found)
    assert sorted(names(found)) == ["beside", "birds", "deep", "far", "lazy", "plain", "rare", "stage_one"]


def test_what_only_types_need_is_left_out(tmp_path: Path) -> None:
    one = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from fieldguide.types import T
else:
    import fieldguide.run
if __debug__:
    import fieldguide.debug
"""
    root = write_package(tmp_path, {"one": one, "types": "", "run": "", "debug": ""})
    assert sorted(names(modules_of("one", root))) == ["debug", "one", "run"]


def test_the_harness_is_left_out(tmp_path: Path) -> None:
    inner = {f"core/{name}": "" for name in ("files", "errors", "settings")}
    harness = {"core/stage": "import fieldguide.secret", **inner, "secret": "", "__init__": ""}
    imports = "from fieldguide import __version__\nfrom fieldguide.core.files import x\nimport fieldguide.core.stage\n"
    imports += "from fieldguide.core.settings import Section\nimport fieldguide.core.errors"
    root = write_package(tmp_path, {**harness, "one": imports})
    assert names(modules_of("one", root)) == ["one"]
    ends = {name.rpartition(".")[2] for name in HARNESS}
    assert ends == {"fieldguide", "stage", "settings", "files", "errors", "signals", "streams", "provenance"}


def test_an_unknown_module_has_no_files(tmp_path: Path) -> None:
    assert modules_of("nothing", tmp_path) == []


def test_the_harness_stands_where_it_is_said_to() -> None:
    for name in HARNESS - {"fieldguide"}:
        assert SOURCE.joinpath(*name.split(".")).with_suffix(".py").is_file()


def test_the_real_stages() -> None:
    adapter = set(names(modules_of("adapters.train_adapter", SOURCE)))
    assert {"linear", "plans", "registry", "task", "train_adapter"} <= adapter
    assert {"backbone", "qformer", "image_store", "stage"}.isdisjoint(adapter)
    assert {"backbone", "image_store"} <= set(names(modules_of("features.encode_images", SOURCE)))
    # Encoding COCO takes a day: it hangs on nothing that only checks, downloads or tabulates.
    parts = {path.relative_to(SOURCE / "fieldguide").parts[0] for path in modules_of("features.encode_images", SOURCE)}
    assert parts <= {"core", "data", "features"}
    aviary = modules_of("aviary.render_aviary", SOURCE)
    assert SOURCE / "fieldguide" / "aviary" / "traits.py" in aviary


def test_a_stage_of_a_subpackage() -> None:
    found = modules_of("aviary.train_clip", SOURCE)
    assert {SOURCE / "fieldguide" / "aviary" / f"{name}.py" for name in ("train_clip", "traits", "writer")} < set(found)
    assert "backbone" in names(found)


def test_a_relative_import_is_found(tmp_path: Path) -> None:
    files = {"a/one": "from .two import x\nfrom ..b import three\nfrom . import four", "a/two": "", "b/three": ""}
    root = write_package(tmp_path, {**files, "a/four": "", "two": "", "three": ""})
    found = [path.relative_to(root / "fieldguide").as_posix() for path in modules_of("a.one", root)]
    assert found == ["a/four.py", "a/one.py", "a/two.py", "b/three.py"]


# ---------------------------------------------------------------- the hash

STAGE = '''"""What it does."""

from fieldguide.other import double


class Thing:
    """A thing."""

    size = 3


def run(number: int) -> int:
    """Twice the number."""
    # A comment.
    return double(number)
'''


def hash_of(folder: Path, stage: str = STAGE, other: str = "def double(x):\n    return 2 * x\n", **more: str) -> str:
    root = write_package(folder, {"stage_one": stage, "other": other, **more})
    return code_hash(("stage_one",), root)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# A comment.", "# Another comment."),
        ("    # A comment.\n", ""),
        ('"""What it does."""', '"""What it really does."""'),
        ('"""Twice the number."""', '"""Two times the number, \n\n    as an integer."""'),
        ('    """A thing."""\n', ""),
        ("\n\nclass", "\n\n\n\n\nclass"),
        ("return double(number)", "return double(\n        number\n    )"),
    ],
    ids=["comment", "no comment", "module", "function", "class", "blank lines", "broken line"],
)
def test_what_nobody_runs_changes_nothing(tmp_path: Path, old: str, new: str) -> None:
    assert old in STAGE
    assert hash_of(tmp_path / "b", STAGE.replace(old, new)) == hash_of(tmp_path / "a")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("size = 3", "size = 4"),
        ("double(number)", "double(number + 0)"),
        ("def run", "def walk"),
        ("number: int", "number: float"),
        ("size = 3", "'a string that is a value'.upper()"),
    ],
)
def test_what_runs_changes_it(tmp_path: Path, old: str, new: str) -> None:
    assert old in STAGE
    assert hash_of(tmp_path / "b", STAGE.replace(old, new)) != hash_of(tmp_path / "a")


def test_it_is_of_all_modules_and_of_no_other(tmp_path: Path) -> None:
    before = hash_of(tmp_path / "a")
    assert hash_of(tmp_path / "b", other="def double(x):\n    return x + x\n") != before
    assert hash_of(tmp_path / "c", unused="x = 1") == before
    # A module that is taken along by name, as a recipe is.
    with_recipe = code_hash(("stage_one", "unused"), tmp_path / "c")
    assert with_recipe != before
    hash_of(tmp_path / "d", unused="x = 2")
    assert code_hash(("stage_one", "unused"), tmp_path / "d") != with_recipe


def test_a_registry_can_be_left_out_for_the_line_that_counts(tmp_path: Path) -> None:
    stage = "from fieldguide.registry import LINES"
    one = write_package(tmp_path / "a", {"stage_one": stage, "registry": "LINES = {1: 2}"})
    two = write_package(tmp_path / "b", {"stage_one": stage, "registry": "LINES = {1: 2, 3: 4}"})
    assert code_hash(("stage_one",), one) != code_hash(("stage_one",), two)
    left_out = frozenset({"registry"})
    assert code_hash(("stage_one",), one, left_out, "1: 2") == code_hash(("stage_one",), two, left_out, "1: 2")
    assert code_hash(("stage_one",), one, left_out, "1: 2") != code_hash(("stage_one",), two, left_out, "3: 4")
    # What a registry does with its table runs in every stage that imports it.
    more = {"stage_one": stage, "registry": "LINES = {1: 2}\ndef first():\n    return LINES[1]"}
    three = write_package(tmp_path / "c", more)
    assert code_hash(("stage_one",), one, left_out, "1: 2") != code_hash(("stage_one",), three, left_out, "1: 2")


SETTINGS = '''
from fieldguide.checks import is_good

class Sizes(Section):
    """Sizes."""

    width: int = Field(default=3, gt=0, description="Pixels.")

    @field_validator("width")
    @classmethod
    def is_even(cls, width):
        return is_good(width)

    def area(self):
        return self.width**2
'''


def test_of_settings_only_the_methods_count(tmp_path: Path) -> None:
    def of(settings: str, folder: str) -> str:
        stage = "from fieldguide.settings import Sizes"
        return hash_of(tmp_path / folder, stage, settings=settings, checks=f"# {folder}\nx = '{folder}'")

    before = of(SETTINGS, "a")
    assert of(SETTINGS.replace("Pixels.", "In pixels."), "b") == before
    assert of(SETTINGS.replace("default=3, gt=0", "default=4, gt=1"), "c") == before
    assert of(SETTINGS.replace("    width", "    height: int = 1\n    width"), "d") == before
    assert of(SETTINGS.replace("return is_good(width)", "return width"), "e") == before
    assert of(SETTINGS.replace("width**2", "width**3"), "f") != before


def test_what_a_method_of_settings_names_counts_too(tmp_path: Path) -> None:
    settings = """
from fieldguide.checks import is_good
from fieldguide.sums import add

STEP = 2
UNUSED = 3

def twice(x):
    return add(x, x) * STEP

class Sizes(Section):
    width: int = 3

    def area(self):
        return twice(self.width)
"""

    def of(settings: str, folder: str, sums: str = "") -> str:
        stage = "from fieldguide.settings import Sizes"
        return hash_of(tmp_path / folder, stage, settings=settings, checks=f"x = '{folder}'", sums=sums)

    before = of(settings, "a")
    assert of(settings.replace("UNUSED = 3", "UNUSED = 4"), "b") == before
    assert of(settings.replace("STEP = 2", "STEP = 4"), "c") != before
    assert of(settings.replace("add(x, x)", "add(x, 0)"), "d") != before
    assert of(settings, "e", "def add(): ...") != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return 2 * x", "return TWO * x"),
        ("def double(x)", "@cache\ndef double(x)"),
        ("def double(x)", "def double(x, y=2)"),
        ("def double", "import os\ndef double"),
    ],
    ids=["constant", "decorator", "default", "import"],
)
def test_a_change_of_a_module_beneath_changes_it(tmp_path: Path, old: str, new: str) -> None:
    other = "TWO = 2\ndef double(x):\n    return 2 * x\n"
    assert old in other
    assert hash_of(tmp_path / "b", other=other.replace(old, new)) != hash_of(tmp_path / "a", other=other)
    assert hash_of(tmp_path / "c", other=other.replace("TWO = 2", "TWO = 3")) != hash_of(tmp_path / "d", other=other)
