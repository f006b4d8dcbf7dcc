"""The configuration of text sources."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from fieldguide.core.settings import Count, Section, Seed, UserPath, refuse_repeats
from fieldguide.texts.naming import fault_of_template


class TextChecks(Section):
    """What every text source has: how check_texts treats its texts."""

    at_least: Count = 1
    naming: Literal["as-is", "removed", "added"] = "as-is"
    template: str = "a photo of a {class_name}, {text}"
    visible_only: Annotated[bool, Field(strict=True)] = False

    @field_validator("template")
    @classmethod
    def template_is_whole(cls, template: str) -> str:
        if fault := fault_of_template(template):
            raise ValueError(fault)
        return template


class CaptionSource(TextChecks):
    kind: Literal["captions"]
    class_names: dict[str, str] = Field(default_factory=dict)
    unit: Literal["caption"] = "caption"


class Prices(Section):
    """USD per million tokens."""

    input: Annotated[float, Field(ge=0)] = 0
    output: Annotated[float, Field(ge=0)] = 0


class LLMSource(TextChecks):
    kind: Literal["llm"]
    unit: Literal["field", "reply"] = "field"
    model: str
    ledger: UserPath
    prompt: UserPath
    fields: tuple[str, ...] = Field(min_length=1)
    replies_per_class: Count
    structured: Literal["auto", "json_schema", "off"] = "off"
    temperature: Annotated[float, Field(ge=0)] | None = None
    max_tokens: Count | None = None
    seed: Seed | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    base_url: str = ""
    key_variable: str = "OPENAI_API_KEY"
    prices: Prices = Field(default_factory=Prices)
    budget_usd: Annotated[float, Field(ge=0)] | None = None
    max_concurrency: Count = 8
    requests_per_minute: Annotated[float, Field(ge=0)] = 0
    tokens_per_minute: Annotated[float, Field(ge=0)] = 0
    other_classes: Literal["refuse", "allow"] = "refuse"
    attempts: Count = 4
    retries: Annotated[int, Field(ge=0, strict=True)] = 8
    backoff: Annotated[float, Field(gt=0)] = 1
    timeout: Annotated[float, Field(gt=0)] = 120

    @field_validator("structured", mode="before")
    @classmethod
    def off_is_a_word(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads a bare off as false

    @field_validator("model")
    @classmethod
    def is_a_model(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*", value):
            raise ValueError(f"should be a model as its endpoint spells it, without spaces, not {value!r}")
        return value

    @field_validator("fields")
    @classmethod
    def are_labels(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            # What `replies.read_label` finds in Markdown.
            if not re.fullmatch(r"[A-Za-z]([A-Za-z /&-]{0,38}[A-Za-z])?", name):
                raise ValueError(f"should be words of letters, 40 characters at most, not {name!r}")
        return refuse_repeats(tuple(name.casefold() for name in value)) and value

    @field_validator("key_variable")
    @classmethod
    def is_a_variable(cls, value: str) -> str:
        # The value is not repeated: somebody may have put the key itself here.
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", value):
            raise ValueError("should be the name of an environment variable, in capitals; never the key itself")
        return value

    @field_validator("base_url")
    @classmethod
    def is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("should be an address that begins with http:// or https:// and ends, as a rule, in /v1")
        if "@" in parts.netloc or parts.query:
            raise ValueError("should hold no password and no key; keys stand in the environment")
        return value

    @field_validator("parameters")
    @classmethod
    def are_named_once(cls, value: dict[str, Any]) -> dict[str, Any]:
        taken = ("model", "messages", "temperature", "max_tokens", "seed", "n", "stream", "response_format")
        if doubled := [name for name in taken if name in value]:
            raise ValueError(f"{doubled[0]} cannot be given here; see the source's other keys")
        return value

    @model_validator(mode="after")
    def budget_has_a_bound(self) -> LLMSource:
        bound = self.max_tokens or self.parameters.get("max_completion_tokens")
        if self.budget_usd is not None and self.prices.output and not bound:
            raise ValueError("budget_usd needs max_tokens, or nobody could say what the requests under way may cost")
        return self

    def request_parameters(self) -> dict[str, Any]:
        """The parameters of a request, which are part of its key; what is not set is not sent."""
        named = {"temperature": self.temperature, "max_tokens": self.max_tokens, "seed": self.seed}
        return {**self.parameters, **{name: value for name, value in named.items() if value is not None}}


class FileSource(TextChecks):
    kind: Literal["file"]
    path: UserPath
    per: Literal["class", "image"] = "class"
    fields: tuple[str, ...] = ()
    class_column: str = "class"
    image_column: str = "image"
    field_column: str = "field"
    text_column: str = "text"
    class_names: dict[str, str] = Field(default_factory=dict)
    others: Literal["refuse", "leave-out"] = "refuse"

    no_repeats = field_validator("fields")(refuse_repeats)


class FeatureSource(Section):
    kind: Literal["features"]
    path: UserPath
    classes: UserPath = ""
    texts: UserPath = ""
    fields: UserPath = ""
    image_ids: UserPath = ""
    class_names: dict[str, str] = Field(default_factory=dict)


Source = Annotated[CaptionSource | LLMSource | FileSource | FeatureSource, Field(discriminator="kind")]
