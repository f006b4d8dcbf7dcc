"""The report's page: what stands on it, and its HTML with all that it runs."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldguide.report.confusions import Confusions
from fieldguide.report.provenance import Provenance
from fieldguide.tables.html import render_template
from fieldguide.tables.page_tables import PageTable

TEMPLATE = Path(__file__).parent / "templates" / "report.html.j2"


@dataclass(frozen=True)
class Page:
    """The whole page; what was not made is empty."""

    title: str
    language: str
    notes: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    comparison: tuple[PageTable, ...]
    legend: str
    provenance: Provenance
    charts: Mapping[str, str] = field(default_factory=dict)
    recipes: PageTable | None = None
    conversion: PageTable | None = None
    worth: tuple[PageTable, ...] = ()
    confusions: tuple[Confusions, ...] = ()
    has_photographs: bool = False
    class_note: str = ""
    costs: PageTable | None = None
    further: tuple[PageTable, ...] = ()
    terms: tuple[tuple[str, str], ...] = ()


def embed_json(value: Any) -> str:
    """JSON that can stand in a script element, whatever its texts say."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def table_options(table: PageTable) -> str:
    """The settings of DataTables for a table, as JSON."""
    buttons = [
        {"extend": "colvis", "text": "Columns", "background": False, "columns": list(range(1, len(table.heads) + 1))},
        {"extend": "copyHtml5", "text": "Copy", "title": None},
    ]
    options = {
        "paging": table.long,
        "pageLength": 25,
        "lengthChange": False,
        "searching": table.long,
        "info": table.long,
        "autoWidth": False,
        "keys": {"blurable": True},
        "order": [],
        "columnDefs": [
            {"targets": 0, "type": "num" if table.rows and table.rows[0][0].order is not None else "string"},
            *(
                {"targets": place, "type": "string" if is_word else "num"}
                for place, is_word in enumerate(table.is_words, start=1)
            ),
            {"targets": [place for place, head in enumerate(table.heads, start=1) if not head.shown], "visible": False},
        ],
        "layout": {
            "topStart": {"buttons": buttons},
            "topEnd": "search" if table.long else None,
            "bottomStart": "info" if table.long else None,
            "bottomEnd": "paging" if table.long else None,
        },
    }
    return json.dumps(options)


@functools.cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")).replace("</script", "<\\/script")


def render(page: Page) -> str:
    """The page as HTML, with all that it runs."""
    import itables
    import vl_convert

    bundle = Path(itables.__file__).parent / "html" / "dt_bundle.js"
    return render_template(
        TEMPLATE,
        {"options": table_options},
        page=page,
        vega=vega_bundle(),
        tables_module=base64.b64encode(bundle.read_bytes()).decode("ascii"),
        tables_style=bundle.with_suffix(".css").read_text(encoding="utf-8"),
        versions={
            "Vega": vl_convert.get_vega_version(),
            "Vega-Lite": vl_convert.get_vegalite_versions()[-1],
        },
    )
