"""The configuration of text sources, and what their stages need beside it."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator

from fieldguide.core.settings import Count, Name, Section, Seed, UserPath, refuse_repeats
from fieldguide.texts.naming import find_template_error

Number = Annotated[float, Field(ge=0)]


class TextChecks(Section):
    """What every text source has: how check_texts treats its texts."""

    at_least: Count = Field(
        default=1, description="texts that every class must have; the classes that have fewer are refused, all named"
    )
    naming: Literal["as-is", "removed", "added"] = Field(
        default="as-is",
        description="class names in the texts: `as-is`; `removed`, in any spelling (not a scientific name or a"
        ' synonym), with "the bird" (`dataset.thing`) instead; `added` by the template to texts that lack it',
    )
    template: str = Field(
        default="a photo of a {class_name}, {text}",
        description="how a name is added, with `{class_name}` and `{text}`; `a` before the name becomes `an` where it"
        " has to",
    )
    visible_only: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        description="`true`: sentences of which no photograph shows anything are left out, and with them texts that"
        " hold no other. An image keeps its captions where it would have none left; classes with fewer than `at_least`"
        " texts afterwards are refused",
    )

    published_as: str = Field(
        default="",
        description="the source of the published figures whose column this one stands beside, where it has another name"
        " (`published.figures` lists them); the tables say that the text is not theirs. Empty: its own name",
    )

    @field_validator("template")
    @classmethod
    def template_is_whole(cls, template: str) -> str:
        if error := find_template_error(template):
            raise ValueError(error)
        return template


class CheckSettings(TextChecks):
    """What check_texts needs to know of a source."""

    thing: str = Field(default="bird", description="the noun that stands for a name taken out, `dataset.thing`")
    images_shown: Count = Field(default=3, description="images of each class on the page, with their captions")


CLASS_NAMES_HINT = "write `their name: our name` under `class_names` of the text source"
"""What to do about a name that is no class."""

ClassNames = Annotated[
    dict[str, str],
    Field(description="exceptions to the rule of class names, `their name: our name, folder or id`"),
]


class CaptionSettings(Section):
    """What index_captions needs to know of Reed et al.'s captions."""

    class_names: ClassNames = Field(default_factory=dict)


class CaptionSource(TextChecks):
    """Human captions of each image, as Reed et al. published them."""

    kind: Literal["captions"] = Field(description="`captions`: human captions per image (Reed)")
    class_names: ClassNames = Field(default_factory=dict)
    unit: Literal["caption"] = Field(default="caption", description="what one text is: a `caption` of an image")


class Prices(Section):
    """USD per million tokens."""

    input: Number = Field(default=0, description="USD per million tokens of a request; 0 for a local model")
    output: Number = Field(default=0, description="USD per million tokens of a reply; 0 for a local model")

    def cost(self, tokens_in: float, tokens_out: float) -> float:
        """What a request of so many tokens costs, USD."""
        return (tokens_in * self.input + tokens_out * self.output) / 1e6


# Names in an address's query that hold a secret at some endpoint.
_SECRET = re.compile(r"key|token|secret|sig(?:nature)?$|password|auth|^code$", re.IGNORECASE)


class LLMSource(TextChecks):
    """Sentences per class, written by an LLM and replayed from a ledger of its replies."""

    kind: Literal["llm"] = Field(description="`llm`: sentences per class from a ledger of replies")
    unit: Literal["field", "reply"] = Field(
        default="field",
        description="what one text is: `field`, each field of each reply, or `reply`. A whole reply is longer than"
        " CLIP reads (77 tokens), so its feature is the normalised mean of its fields' translated features; the rows of"
        " one reply are found by the order of the fields in the table. To compare both, list the source twice under two"
        " names",
    )
    model: str = Field(
        description="the model, as the endpoint and the ledger call it; a server of a local folder calls it by its path"
    )
    ledger: UserPath = Field(
        description="JSON lines, one reply each; kept outside `results/` because replies cost money"
    )
    prompt: UserPath = Field(
        description="the file of what is asked; `{class_name}` must stand in it, `{fields}`, `{thing}`"
        " (`dataset.thing`) and `{format}` may"
    )
    fields: tuple[str, ...] = Field(
        min_length=1,
        description="the fields that a reply must have, words of letters; each field of each reply is one text",
    )
    replies_per_class: Count = Field(
        description="replies used per class; more asks for the difference. Not part of a reply's key"
    )
    structured: Literal["auto", "json_schema", "off"] = Field(
        default="off",
        description="what `{format}` asks for: `off`, Markdown with a bold label per field, as in the thesis;"
        " `json_schema`, a JSON object by a schema that the endpoint enforces; `auto`, the schema where the endpoint"
        " takes it, found out by one request, else Markdown. gpt-3.5-turbo takes none",
    )
    temperature: Number | None = Field(
        default=None,
        description="as the API has it; `null` sends none. An endpoint that refuses it, as reasoning models do, is"
        " asked without it, which the log says and the ledger records",
    )
    max_tokens: Count | None = Field(
        default=None,
        description="the most tokens of a reply, its reasoning included; an endpoint that wants it is sent"
        " `max_completion_tokens` instead. `null` sends none: then only the endpoint bounds a reply and its price",
    )
    reasoning_effort: Annotated[str, StringConstraints(to_lower=True, pattern="^[a-z]+$")] | None = Field(
        default=None,
        description="how much a reasoning model thinks before it answers, as the API has it: `none`, `low`, `medium`,"
        " `high`, … `null` sends none, as models without reasoning want it. Reasoning is billed as output and counts"
        " against `max_tokens`; it is kept in the ledger and reaches no text",
    )
    seed: Seed | None = Field(
        default=None,
        description="of a class's first reply; the next is asked with the next seed, so that a server that keeps to"
        " seeds does not say the same six times. `null` sends none",
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="further parameters, as the endpoint takes them: `{top_p: 0.9}`. One that is refused ends the run",
    )
    base_url: str = Field(
        default="",
        description="an OpenAI-compatible endpoint, as a rule ending in `/v1`; a query, such as Azure's"
        " `?api-version=…`, is sent with every request. Empty: nothing is asked, the ledger is replayed",
    )
    key_variable: str = Field(
        default="OPENAI_API_KEY",
        description="the environment variable that holds the endpoint's key; it is sent to `base_url` and stands in no"
        " file. Endpoints other than OpenAI's are asked without one when it is not set",
    )
    prices: Prices = Field(
        default_factory=Prices,
        description="what the model costs. Check it: prices change",
    )
    budget_usd: Number | None = Field(
        default=None,
        description="what the ledger may cost in all, earlier runs and rejected replies included; `null`: no limit. A"
        " request is sent only if the most that it and all others under way can cost still fits (no more tokens than"
        " bytes go in, no more than `max_tokens` come out), so it needs `max_tokens`. One that timed out or was cut off"
        " counts at its most. A kill hides up to `max_concurrency` replies from it",
    )
    max_concurrency: Count = Field(
        default=8, description="requests under way at a time; fewer while the endpoint answers 429"
    )
    requests_per_minute: Number = Field(
        default=0, description="your account's limit of requests, spread evenly; 0: none"
    )
    tokens_per_minute: Number = Field(
        default=0,
        description="your account's limit of tokens, spread evenly; 0: none. A request counts at its most, and what it"
        " did not use is given back",
    )
    other_classes: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="`refuse` asks again when a reply names another class (whole names, in any spelling; a name of one"
        " word only where the reply does not name its own); `allow` takes such replies",
    )
    attempts: Count = Field(default=4, description="replies asked for, in one run, until one can be used")
    retries: Annotated[int, Field(ge=0, strict=True)] = Field(
        default=8, description="repetitions of a request that is not answered"
    )
    backoff: Annotated[float, Field(gt=0)] = Field(
        default=1,
        description="seconds before the first repetition, doubling up to a minute; an endpoint's `Retry-After` goes"
        " before",
    )
    timeout: Annotated[float, Field(gt=0)] = Field(default=120, description="seconds to wait for a reply")

    @field_validator("structured", mode="before")
    @classmethod
    def off_is_a_word(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads a bare off as false

    @field_validator("model")
    @classmethod
    def is_a_model(cls, value: str) -> str:
        if not re.fullmatch(r"(?:[A-Za-z0-9~_/\\]|\.{1,2}[/\\])[\w.:/\\@+#~=-]*", value):
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
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError as error:
            raise ValueError(f"is no address: {error}".lower()) from None
        if value and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("should be an address that begins with http:// or https:// and ends, as a rule, in /v1")
        named = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
        secret = [name for name in named if _SECRET.search(name)]
        if "@" in parts.netloc or secret or (parts.query and not named):
            raise ValueError(
                "should hold no password and no key; keys stand in the environment. A query may hold what is no secret,"
                " such as ?api-version=2024-10-21"
            )
        if parts.path.rstrip("/").endswith("/completions"):
            raise ValueError("should end before /chat/completions, as a rule in /v1; that part is added")
        return value

    @field_validator("parameters")
    @classmethod
    def are_named_once(cls, value: dict[str, Any]) -> dict[str, Any]:
        taken = ("model", "messages", "temperature", "max_tokens", "seed", "n", "stream", "response_format")
        if doubled := [name for name in taken if name in value]:
            raise ValueError(f"{doubled[0]} cannot be given here; see the source's other keys")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError("holds a value that JSON does not know, so it cannot be sent") from None
        return value

    @model_validator(mode="after")
    def effort_is_named_once(self) -> LLMSource:
        if self.reasoning_effort is not None and "reasoning_effort" in self.parameters:
            raise ValueError("reasoning_effort stands under parameters too; give it once")
        return self

    @model_validator(mode="after")
    def budget_has_a_bound(self) -> LLMSource:
        bound = self.max_tokens or self.parameters.get("max_completion_tokens")
        if self.budget_usd is not None and self.prices.output and not bound:
            raise ValueError(
                "budget_usd needs max_tokens, since without it the cost of the requests under way has no upper bound"
            )
        return self

    def request_parameters(self) -> dict[str, Any]:
        """The parameters of a request, which are part of its key; what is not set is not sent."""
        named = {
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "reasoning_effort": self.reasoning_effort,
            "seed": self.seed,
        }
        return {**self.parameters, **{name: value for name, value in named.items() if value is not None}}


class GenerateSettings(LLMSource):
    """What generate_texts needs to know of a source."""

    thing: str = Field(default="", description="what the classes are, `dataset.thing`, for a prompt with `{thing}`")


class PriceSettings(Section):
    """What price_texts needs to know."""

    sources: dict[str, LLMSource] = Field(description="the LLMs of the table, by name")
    thing: str = Field(default="", description="what the classes are, `dataset.thing`, for prompts with `{thing}`")
    class_count: int = Field(
        default=0, ge=0, description="the number of classes, where their table is not there yet; 0: unknown"
    )


class FileSource(TextChecks):
    """Texts that the user brings along."""

    kind: Literal["file"] = Field(description="`file`: texts of your own")
    path: UserPath = Field(description="`.json`, `.jsonl`, `.csv` or `.tsv`")
    per: Literal["class", "image"] = Field(
        default="class",
        description="what a text is about: a `class`, or an `image`, by id, path or file name; texts of test images are"
        " left out",
    )
    fields: tuple[str, ...] = Field(
        default=(),
        description="the fields to take, in this order, all if empty; in a table without a column of texts, its columns"
        " of texts",
    )
    class_column: str = Field(default="class", description="what records call the class")
    image_column: str = Field(default="image", description="what records call the image")
    field_column: str = Field(default="field", description="what records call the field; it may be missing")
    text_column: str = Field(default="text", description="what records call the text")
    class_names: ClassNames = Field(default_factory=dict)
    others: Literal["refuse", "leave-out"] = Field(
        default="refuse",
        description="texts of classes or images that the data set does not have: `refuse`, or `leave-out`",
    )

    no_repeats = field_validator("fields")(refuse_repeats)


class FeatureSource(Section):
    """Text features that were computed elsewhere."""

    kind: Literal["features"] = Field(description="`features`: text features, with `dataset.kind: features` only")
    path: UserPath = Field(description="`.npz`, `.safetensors` or `.npy`")
    classes: UserPath = Field(
        default="", description="the classes, where they are a file of their own; as the images' labels, or as names"
    )
    texts: UserPath = Field(default="", description="the texts, where they are a file of their own")
    fields: UserPath = Field(default="", description="the fields, where they are a file of their own")
    image_ids: UserPath = Field(default="", description="the image ids, where they are a file of their own")
    class_names: ClassNames = Field(default_factory=dict)


class ControlSource(Section):
    """Texts that stand in for those of another source, with what they say about their class taken out."""

    kind: Literal["control"] = Field(
        description="`control`: as many texts as another source has, which say nothing of their class"
    )
    of: Name = Field(description="the source whose texts, as they are used, it is made of")
    control: Literal["shuffled", "family", "random-words", "name-only"] = Field(
        description="`shuffled`, texts of another class, drawn so that no class keeps its own; `family`, texts of the"
        " class whose name's text feature is nearest; `random-words`, as many words drawn from CLIP's vocabulary"
        " (WaffleCLIP); `name-only`, the class's name and no more, repeated to as many words. With"
        " `dataset.kind: features` the first two, as permuted rows, the nearest class by mean text feature"
    )
    seed: Seed = Field(default=0, description="of what is drawn by `shuffled` and `random-words`")
    families: UserPath = Field(
        default="",
        description="for `family`: a CSV with the columns `class,family`; the nearest class of the same family is"
        " taken, or the nearest of all where a family has no other",
    )

    @model_validator(mode="after")
    def families_are_for_family(self) -> ControlSource:
        if self.families and self.control != "family":
            raise ValueError(f"control is {self.control}, which reads no families; leave `families` out")
        return self


Source = Annotated[CaptionSource | LLMSource | FileSource | FeatureSource | ControlSource, Field(discriminator="kind")]
