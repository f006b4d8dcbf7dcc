"""The words of the report's tables, in English and Japanese. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from fieldguide.tables.rows import IMAGE_ONLY, SOURCE_LABELS

Language = Literal["en", "ja"]

JAPANESE: Mapping[str, str] = {
    "images:text": "画像:テキスト (%)",
    SOURCE_LABELS[IMAGE_ONLY]: "画像のみ",
    SOURCE_LABELS["reed"]: "画像＋人手のテキスト (Reed)",
    "published": "公表値",
    "class-wise": "クラスごとに抽出",
    "global": "全体から抽出",
    "fixed": "固定",
    "per-epoch": "エポックごと",
    "baseline": "比較手法",
    "translator": "変換器",
    "against": "比較対象",
    "seeds": "乱数シード",
    "distinct images": "異なり画像数",
    "distinct texts": "異なりテキスト数",
    "95% interval": "95% 信頼区間",
    "95% interval, test images too": "95% 信頼区間 (テスト画像も含む)",
    "optimiser steps": "更新回数",
}
"""Column headings by their English ones; the columns are those of the thesis's table."""


def headings(language: Language, sources: Mapping[str, str]) -> dict[str, str]:
    """Headings by their English words; `sources` are the labels of the text sources, by name.

    A source that no heading knows (an LLM, a file of texts) keeps its name.
    """
    if language == "en":
        return {}
    known = dict(JAPANESE)
    for name, label in sources.items():
        if name not in SOURCE_LABELS:
            known[label] = f"画像＋テキスト ({label})"
    return known
