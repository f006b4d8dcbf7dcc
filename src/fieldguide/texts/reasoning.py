"""What a reasoning model thinks aloud in its reply, told apart from its answer. Pure functions on strings.

Servers that leave it in the content mark it: `<think>…</think>` (DeepSeek, Qwen) and its kin, also with the opening one
in the prompt, so that a lone `</think>` comes; gpt-oss's channels (harmony format); `[THINK]…[/THINK]` (Mistral).
"""

from __future__ import annotations

import re

_WORDS = "think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad|rationale|inner_monologue"
_HEADER = r"[^<\n]*(?:<\|constrain\|>\s*\w+\s*)?<\|message\|>"
_MARK = re.compile(
    rf"""
    (?P<empty><\s*(?:[\w-]+:)?(?:{_WORDS})\b[^<>]*/\s*>)
    | (?P<close>
        <\s*/\s*(?:[\w-]+:)?(?:{_WORDS})\b[^<>]*> | \[\s*/\s*(?:THINK|THINKING|REASONING)\s*\] | ◁\s*/\s*think\s*▷
        | <\|\s*(?:end_thinking|end_of_thought|/think)\s*\|>
        | <\|?channel\|?>\s*final\b(?:{_HEADER})? | <channel\|>
        | \Aanalysis(?=[A-Z\s"'(*]).*?assistant\s*final(?![a-z])
      )
    | (?P<open>
        <\s*(?:[\w-]+:)?(?:{_WORDS})\b[^<>]*> | \[\s*(?:THINK|THINKING|REASONING)\s*\] | ◁\s*think\s*▷
        | <\|\s*(?:start_thinking|begin_of_thought|think)\s*\|>
        | <\|?channel\|?>\s*(?!final\b)\w+(?:{_HEADER})?
      )
    | (?P<end> <\|end\|> )
    | (?P<frame>
        <\|start\|>\s*assistant | <\|(?:return|call|im_end|eot_id|endoftext|end_of_text|end_of_turn)\|> | </s>
        | <\|\s*(?:start_response|end_response|begin_of_solution|end_of_solution)\s*\|>
        | <\s*/?\s*(?:answer|response|final_answer)\s*>
      )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def split_reasoning(content: str) -> tuple[str, str]:
    """The answer without the reasoning, and the reasoning; a content without either's marks is returned as it is.

    An opening mark reaches to the next closing one, or to the end. All that stands before a closing mark that nothing
    opened is reasoning too: so marks within marks, and those that a model only mentions while it thinks, let no
    reasoning through.
    """
    answer: list[str] = []
    reasoning: list[str] = []
    inside, start = False, 0
    for mark in _MARK.finditer(content):
        (reasoning if inside else answer).append(content[start : mark.start()])
        start = mark.end()
        if mark["close"]:
            if not inside:
                reasoning += answer
                answer.clear()
            inside = False
        elif mark["open"]:
            inside = True
        elif mark["end"]:
            inside = False
    if not start:
        return content, ""
    (reasoning if inside else answer).append(content[start:])
    # Line ends between the parts: what stood around a mark must not become one.
    return "\n".join(filter(None, answer)).strip(), "\n".join(filter(None, reasoning)).strip()
