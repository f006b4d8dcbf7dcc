"""Which source files a stage runs: by its imports, wherever they stand."""

from __future__ import annotations

from pathlib import Path

import fieldguide
from fieldguide.core.provenance import HARNESS, imported_modules, modules_of

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
    harness = {"stage": "import fieldguide.secret", "files": "", "errors": "", "secret": "", "__init__": ""}
    imports = "from fieldguide import __version__\nfrom fieldguide.core.files import x\nimport fieldguide.core.stage\n"
    root = write_package(tmp_path, {**harness, "one": imports + "import fieldguide.core.errors"})
    assert names(modules_of("one", root)) == ["one"]
    assert {name.rpartition(".")[2] for name in HARNESS} == {"fieldguide", "stage", "files", "errors", "model_card"}


def test_an_unknown_module_has_no_files(tmp_path: Path) -> None:
    assert modules_of("nothing", tmp_path) == []


def test_the_real_stages() -> None:
    assert names(modules_of("plan_images", SOURCE)) == ["cells", "features", "plan_images", "plans"]
    adapter = names(modules_of("train_adapter", SOURCE))
    pure = {"adapters", "calibration", "cells", "features", "naming", "plans", "registry", "task"}
    assert pure | {"train_adapter", "tune_adapter"} == set(adapter)
    assert {"backbone", "qformer", "image_store", "stage"}.isdisjoint(adapter)
    assert {"backbone", "image_store"} <= set(names(modules_of("encode_images", SOURCE)))
    aviary = modules_of("render_aviary", SOURCE)
    assert SOURCE / "fieldguide" / "aviary" / "traits.py" in aviary


def test_a_stage_of_a_subpackage() -> None:
    found = modules_of("aviary.train_clip", SOURCE)
    assert {SOURCE / "fieldguide" / "aviary" / f"{name}.py" for name in ("train_clip", "traits", "writer")} < set(found)
    assert {"backbone", "records"} <= set(names(found))
