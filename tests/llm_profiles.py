"""Endpoints of docs/llm.md as the test server plays them: what each refuses, how it says so, where reasoning stands.

Written after the vendors' pages and public reports that docs/llm.md names; no real endpoint was asked. Each profile
answers a question like its endpoint: it refuses what that refuses, and replies in that one's form.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.llm_server import Asked, Plan, completion, describe, error

Answer = tuple[int, Any]

REASONING = 'Not a "Other Test Bird". **Size**: I should think about the size first.'
"""What a model thinks: it names another class and a field, and must reach no text."""


def markdown(asked: Asked) -> str:
    """A whole reply by class and seed."""
    found = describe(asked.class_name, asked.body.get("seed"))
    return "\n".join(f"**{name}**: {said}" for name, said in found.items())


def reply(asked: Asked, content: Any, finish: str = "stop", reasoning_tokens: int = 0, **beside: Any) -> Answer:
    """A completion whose message holds this content, with further keys beside it."""
    prompt = json.dumps(asked.body.get("messages"))
    text = content if isinstance(content, str) else markdown(asked)
    body = completion(text, prompt, finish_reason=finish)
    body["choices"][0]["message"] = {"role": "assistant", "content": content, **beside}
    body["usage"]["completion_tokens"] += reasoning_tokens
    body["usage"]["total_tokens"] += reasoning_tokens
    if reasoning_tokens:
        body["usage"]["completion_tokens_details"] = {"reasoning_tokens": reasoning_tokens}
    return 200, body


def no_models(path: str) -> Answer:
    """No route for one model, as FastAPI says it."""
    return 404, {"detail": "Not Found"}


@dataclass(frozen=True)
class Profile:
    """An endpoint: how it answers a question and GET, and what its ledger shows afterwards."""

    answer: Callable[[Asked], Answer]
    model: str
    describes: Callable[[str], Answer] = no_models
    query: str = ""  # of base_url
    refuses: Mapping[str, str | None] = field(default_factory=dict)  # what each is sent as instead, None: left out
    reasons: bool = False  # reasoning comes with the reply
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the source
    unknown_model: Answer = (404, {})  # what a question to a model that is not there brings
    at_first: Answer | None = None  # what the first question that is not refused brings in place of a reply

    def plan(self) -> Plan:
        """For `llm_server.running`: a model by another name is not there."""

        trouble = [self.at_first] if self.at_first else []

        def answer(asked: Asked, number: int) -> Answer:
            if asked.body["model"] != self.model:
                return self.unknown_model
            status, body = self.answer(asked)
            return trouble.pop() if status == 200 and trouble else (status, body)

        return Plan(profile=answer, get=self.describes)


# ---------------------------------------------------------------- OpenAI and Azure


def openai_model(path: str) -> Answer:
    name = path.partition("?")[0].removeprefix("/v1/models/")
    if name != "gpt-6-luna":
        return error(404, f"The model '{name}' does not exist or you do not have access to it.", "model_not_found")
    return 200, {"id": name, "object": "model", "created": 1, "owned_by": "system", "shutdown_date": None}


def openai_reply(asked: Asked) -> Answer:
    body = asked.body
    if "max_tokens" in body:
        words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'."
        return error(400, words, "unsupported_parameter", "max_tokens")
    if body.get("temperature", 1) != 1:
        words = "Unsupported value: 'temperature' does not support this value. Only the default (1) value is supported."
        return error(400, words, "unsupported_value", "temperature")
    thinks = body.get("reasoning_effort", "medium") != "none"
    return reply(asked, markdown(asked), reasoning_tokens=64 if thinks else 0, refusal=None)


def azure_reply(asked: Asked) -> Answer:
    if "api-version=" not in asked.path:
        return 404, {"error": {"code": "404", "message": "Resource not found"}}
    if "max_tokens" in asked.body:
        return error(400, "Unsupported parameter: 'max_tokens'.", "unsupported_parameter", "max_tokens")
    status, body = reply(asked, markdown(asked), refusal=None)
    body["choices"][0]["content_filter_results"] = {"hate": {"filtered": False, "severity": "safe"}}
    return status, body


# ---------------------------------------------------------------- servers of open weights


def vllm_reply(asked: Asked) -> Answer:
    # Versions up to 0.11 call it reasoning_content.
    return reply(asked, "\n\n" + markdown(asked), reasoning=REASONING, reasoning_content=REASONING)


def ollama_model(path: str) -> Answer:
    name = path.removeprefix("/v1/models/")
    if name != "qwen3:8b":
        return error(404, f"model '{name}' not found", None)
    return 200, {"id": name, "object": "model", "created": 1, "owned_by": "library"}


def ollama_reply(asked: Asked) -> Answer:
    return reply(asked, markdown(asked), reasoning=REASONING)


def llama_cpp_model(path: str) -> Answer:
    return 404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}


def llama_cpp_reply(asked: Asked) -> Answer:
    # --reasoning-format none: thoughts stay in the content, and a template may have opened them in the prompt.
    return reply(asked, f"{REASONING}\n</think>\n\n{markdown(asked)}")


# ---------------------------------------------------------------- hosted ones


def gemini_reply(asked: Asked) -> Answer:
    if "seed" in asked.body:
        words = 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'
        details = [
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": "seed", "description": words}],
            }
        ]
        return 400, [{"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT", "details": details}}]
    status, body = reply(asked, markdown(asked), finish="STOP")
    body["usage"]["total_tokens"] += 50  # its thoughts, which are billed as output
    return status, body


def gemini_model(path: str) -> Answer:
    name = path.removeprefix("/v1/models/")
    if name != "gemini-3.8-flash":
        words = f"models/{name} is not found for API version v1main"
        return 404, [{"error": {"code": 404, "message": words, "status": "NOT_FOUND"}}]
    return 200, {"id": f"models/{name}", "object": "model", "owned_by": "google"}


def deepseek_reply(asked: Asked) -> Answer:
    return reply(asked, markdown(asked), reasoning_tokens=30, reasoning_content=REASONING)


def aggregator_reply(asked: Asked) -> Answer:
    if "seed" in asked.body:
        raw = json.dumps({"error": {"message": "seed is not supported", "param": "seed", "code": "unknown_parameter"}})
        metadata = {"provider_name": "Somebody", "raw": raw}
        return 400, {"error": {"code": 400, "message": "Provider returned error", "metadata": metadata}}
    parts = [{"type": "thinking", "thinking": REASONING}, {"type": "text", "text": markdown(asked)}]
    return reply(asked, parts)


PROFILES: dict[str, Profile] = {
    "OpenAI": Profile(
        openai_reply,
        "gpt-6-luna",
        openai_model,
        refuses={"max_tokens": "max_completion_tokens"},
        settings={"reasoning_effort": "none"},
        unknown_model=error(404, "The model does not exist.", "model_not_found"),
    ),
    "Azure": Profile(
        azure_reply,
        "my-deployment",
        lambda path: (404, {"error": {"code": "404", "message": "Resource not found"}}),
        query="?api-version=2024-10-21",
        refuses={"max_tokens": "max_completion_tokens"},
        unknown_model=error(404, "The API deployment for this resource does not exist.", "DeploymentNotFound"),
    ),
    "vLLM": Profile(
        vllm_reply,
        "Qwen/Qwen3-8B",
        reasons=True,
        unknown_model=error(404, "The model `x` does not exist.", None, "model"),
    ),
    "Ollama": Profile(
        ollama_reply,
        "qwen3:8b",
        ollama_model,
        reasons=True,
        unknown_model=error(404, "model 'x' not found", None),
    ),
    "llama.cpp": Profile(llama_cpp_reply, "/models/Qwen3-8B-Q8_0.gguf", llama_cpp_model, reasons=True),
    "Gemini": Profile(
        gemini_reply,
        "gemini-3.8-flash",
        gemini_model,
        refuses={"seed": None},
        unknown_model=(404, [{"error": {"code": 404, "message": "not found", "status": "NOT_FOUND"}}]),
    ),
    "DeepSeek": Profile(
        deepseek_reply,
        "deepseek-reasoner",
        reasons=True,
        unknown_model=error(400, "Model Not Exist", "invalid_request_error"),
    ),
    "OpenRouter": Profile(
        aggregator_reply,
        "qwen/qwen3-8b",
        lambda path: (404, {"error": {"code": 404, "message": "Not Found"}}),
        refuses={"seed": None},
        reasons=True,
        unknown_model=(400, {"error": {"code": 400, "message": "x is not a valid model ID"}}),
        at_first=(200, {"error": {"code": 429, "message": "Provider returned error", "metadata": {"raw": "busy"}}}),
    ),
}
"""By the name in the table of docs/llm.md, which a test compares."""
