"""Reasoning is told from the answer by its marks, however they are written, nested or left open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.texts.reasoning import split_reasoning

ANSWER = "**Size**: small.\n**Eyes**: dark."

MARKED = {
    "DeepSeek, Qwen": f"<think>\nHm, Size: large?\n</think>\n\n{ANSWER}",
    "a lone closing one": f"Hm, Size: large?\n</think>\n{ANSWER}",
    "nothing within": f"<think>\n\n</think>\n\n{ANSWER}",
    "attributes and case": f'<THINK lang="en">\nHm\n</Think >{ANSWER}',
    "another word": f"<reasoning>Hm</reasoning>{ANSWER}",
    "Seed-OSS": f"<seed:think>Hm</seed:think>{ANSWER}",
    "Mistral": f"[THINK]Hm[/THINK]{ANSWER}",
    "Kimi": f"◁think▷Hm◁/think▷{ANSWER}",
    "Cohere": f"<|START_THINKING|>Hm<|END_THINKING|><|START_RESPONSE|>{ANSWER}<|END_RESPONSE|>",
    "Open Thoughts": f"<|begin_of_thought|>Hm<|end_of_thought|><|begin_of_solution|>{ANSWER}<|end_of_solution|>",
    "gpt-oss": "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>"
    f"{ANSWER}<|return|>",
    "gpt-oss, two channels": "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>commentary"
    f" to=a <|constrain|>json<|message|>{{}}<|call|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
    "gpt-oss, marks left out": f"analysisWe need Size: large.assistantfinal{ANSWER}",
    "Gemma": f"<|channel>thought\nHm<channel|>{ANSWER}",
    "within itself": f"<think>a<think>b</think>Size: large</think>{ANSWER}",
    "mentioned while it thinks": f"<think>I close with <think> tags</think>{ANSWER}",
    "closed while it thinks": f"<think>I close with </think>, Size: large</think>{ANSWER}",
    "an answer's tags": f"<think>Hm</think><answer>{ANSWER}</answer>",
    "a mark of the end": f"{ANSWER}</s>",
    "twice": "<think>Hm</think>**Size**: small.<think>Hm</think>**Eyes**: dark.",
    "an empty one": f"<think/>{ANSWER}",
}


@pytest.mark.parametrize("content", MARKED.values(), ids=MARKED.keys())
def test_the_answer_is_what_is_left(content: str) -> None:
    answer, reasoning = split_reasoning(content)
    assert answer == ANSWER and "small" not in reasoning
    assert split_reasoning(answer) == (answer, "")


@pytest.mark.parametrize("content", ["<think>Hm", "Hm</think>", "<think>\nHm, **Size**: large", "[THINK] Hm"])
def test_reasoning_that_does_not_end_leaves_no_answer(content: str) -> None:
    assert split_reasoning(content)[0] == "" and "Hm" in split_reasoning(content)[1]


@pytest.mark.parametrize(
    "content", [ANSWER, f"  {ANSWER} \n", "It thinks < 3, and > 4.", "<b>Size</b>", "A [thin] bill", ""]
)
def test_what_has_no_mark_stays_to_the_byte(content: str) -> None:
    assert split_reasoning(content) == (content, "")


@given(
    st.lists(
        st.sampled_from(
            ["<think>", "</think>", "<|channel|>final<|message|>", "<|end|>", "[/THINK]", "<th", "ink>", "A"]
        ),
        max_size=12,
    )
)
def test_it_is_taken_away_at_once(parts: list[str]) -> None:
    """Nothing within an opened mark comes through, and what is left holds no mark."""
    answer, _ = split_reasoning("".join(parts))
    assert split_reasoning(answer) == (answer, "")


nested = st.recursive(
    st.just("HM"), lambda inner: st.lists(inner.map(lambda one: f"<think>{one}</think>HM"), max_size=3).map("".join)
)


@given(nested)
def test_marks_within_marks_let_nothing_through(thoughts: str) -> None:
    assert split_reasoning(f"<think>{thoughts}</think>{ANSWER}")[0] == ANSWER
    assert split_reasoning(f"{thoughts}</think>{ANSWER}")[0] == ANSWER
