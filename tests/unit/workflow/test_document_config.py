"""The schema and the README's tables of keys are those of the models."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from pydantic import Field

from fieldguide.core.errors import FieldguideError
from fieldguide.core.settings import Section
from fieldguide.workflow.document_config import (
    MARKED,
    README,
    SCHEMA,
    TABLES,
    as_sentence,
    fill_tables,
    find_undescribed,
    main,
    rows_of,
    schema_text,
    table_text,
)
from tests.unit.workflow.configurations import BASE, ROOT

ANEW = "write it anew: python -m fieldguide.workflow.document_config"


def test_the_schema_is_that_of_the_models() -> None:
    assert (ROOT / SCHEMA).read_text(encoding="utf-8") == schema_text(), ANEW


def test_the_readme_is_that_of_the_models() -> None:
    readme = (ROOT / README).read_text(encoding="utf-8")
    assert readme == fill_tables(readme), ANEW


class Inner(Section):
    size: int = Field(default=3, description="pixels along a side")


class One(Section):
    """A thing of kind one."""

    name: str = Field(description="What it is called; a | b")
    kind: Literal["one"] = Field(description="`one`: the first")
    inner: Inner = Field(description="Its shape.")
    own: str = Field(description="Only here")


class Two(Section):
    name: str = Field(description="What it is called; a | b")
    kind: Literal["two", "zwei"] = Field(description="`two`, `zwei`: the second")
    inner: Inner = Field(description="Another's shape.")


def test_a_description_becomes_a_sentence() -> None:
    assert as_sentence("what\n  it is") == "What it is."
    assert as_sentence("`x`: y.") == "`x`: y." and as_sentence("") == ""


def test_defaults_are_written_as_in_a_configuration() -> None:
    class Defaults(Section):
        on: bool = Field(default=False, description="d")
        names: tuple[str, ...] = Field(default=("a", "b"), description="d")
        empty: str = Field(default="", description="d")
        none: int | None = Field(default=None, description="d")
        text: str = Field(default="{x}: y", description="d")

    defaults = [meaning.removeprefix("D.").strip() for meaning in rows_of((Defaults,)).values()]
    assert defaults == ["Default: `false`.", "Default: `[a, b]`.", "", "", "Default: `'{x}: y'`."]


def test_keys_that_only_some_kinds_have_name_them() -> None:
    assert rows_of((One, Two)) == {
        "kind": "`one`: the first. `two`, `zwei`: the second.",
        "name": "What it is called; a &#124; b.",
        "inner": "(one) Its shape. (two, zwei) Another's shape.",
        "inner.size": "Pixels along a side. Default: `3`.",
        "own": "(one) Only here.",
    }
    assert list(rows_of((One,), ("own", "name"))) == ["own", "name"]


def test_every_table_can_be_made() -> None:
    for name in TABLES:
        assert table_text(name).startswith("| key | meaning |\n| --- | --- |\n| `")
    with pytest.raises(FieldguideError, match="no table is called 'nonsense'; known are sections, dataset"):
        table_text("nonsense")


def test_prose_around_a_table_stays() -> None:
    before, after = "# Title\n\nProse | with a bar.\n\n", "\nMore prose.\n"
    written = fill_tables(f"{before}<!-- keys: threads -->\nold\n<!-- end -->{after}")
    assert written == f"{before}<!-- keys: threads -->\n{table_text('threads')}<!-- end -->{after}"
    assert fill_tables(written) == written and MARKED.search(written)


def test_every_key_is_described() -> None:
    assert find_undescribed() == [], "give each a Field(description=…) in its settings.py"


def test_the_command_writes_both(tmp_path: Path) -> None:
    readme, schema = tmp_path / "README.md", tmp_path / "schema.yaml"
    readme.write_text("<!-- keys: aviary -->\n<!-- end -->\n", encoding="utf-8")
    main(["--schema", str(schema), "--readme", str(readme)])
    assert "`bird_share`" in readme.read_text(encoding="utf-8")
    written = yaml.safe_load(schema.read_text(encoding="utf-8"))
    assert written["additionalProperties"] is False
    jsonschema.validate(BASE, written)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**BASE, "languages": "en"}, written)
