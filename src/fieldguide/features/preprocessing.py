"""How a photograph becomes a backbone's input: what is known of it, who says so, and what the user has to say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fieldguide.core.errors import FieldguideError, name_some
from fieldguide.features.settings import Preprocessing

KEYS = ("mean", "std", "interpolation", "resize_mode")
"""What open_clip's tags say; the size is the model's own."""
NORMALISATION = ("mean", "std")
"""What a configuration has to say: older ones say nothing else, and mean open_clip's defaults with the rest."""
GIVEN = "backbone.preprocessing"
DOCS = "docs/backbones.md says where to look"


def of_tag(tag: Mapping[str, Any]) -> dict[str, Any]:
    """The preprocessing among what open_clip says of a tag."""
    return {key: tag[key] for key in KEYS if key in tag}


def known_by_name(model: str, pretrained: str) -> tuple[dict[str, Any], str]:
    """What open_clip knows of a tag, or of a weights file by all its tags of the model, and the words for that.

    What two tags of the model say differently is not known of a file (mlfoundations/open_clip#1068).
    """
    import open_clip

    name = model.replace("/", "-")
    if tag := open_clip.get_pretrained_cfg(name, pretrained):
        return of_tag(tag), f"open_clip's tag {pretrained} of {name}"
    tags = [of_tag(tag) for tag in tags_of(name).values()]
    agreed = {key: tags[0][key] for key in KEYS if tags and all(tag.get(key) == tags[0].get(key) for tag in tags)}
    return agreed, f"open_clip's tags of {name}"


def tags_of(name: str) -> dict[str, Mapping[str, Any]]:
    """What open_clip says of each of its tags of a model."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    return {tag: open_clip.get_pretrained_cfg(name, tag) for tag in tags}


def choose(model: str, pretrained: str, given: Preprocessing) -> tuple[dict[str, Any], str]:
    """The preprocessing of weights by a name of open_clip, as its `PreprocessCfg` calls it, and who says so.

    Raises FieldguideError where it is a weights file's, of which open_clip's tags say nothing, or not the same.
    """
    import open_clip

    known, source = known_by_name(model, pretrained)
    chosen = known | given.given()
    missing = [key for key in KEYS if key not in chosen]
    if missing and not open_clip.get_pretrained_cfg(model.replace("/", "-"), pretrained):
        raise FieldguideError(demand(model.replace("/", "-"), pretrained, missing))
    return chosen, name_sources(known, source, given)


def demand(name: str, weights: str, missing: list[str]) -> str:
    """What the user has to say, and what the tags that differ would say."""
    variants: dict[str, list[str]] = {}
    for tag, about in tags_of(name).items():
        values = ", ".join(f"{key}: {spell(about[key])}" for key in missing)
        variants.setdefault(values, []).append(tag)
    if variants:
        listed = "; ".join(f"{{{values}}} for {name_some(tags)}" for values, tags in variants.items())
        why = f"open_clip's tags of {name} differ: {listed}"
    else:
        why = f"open_clip has no tag of {name}; {DOCS}"
    return f"{GIVEN}: give {', '.join(missing)}, which {Path(weights).name} does not say: {why}"


def check_configuration(config: Mapping[str, Any], where: str, given: Preprocessing) -> str:
    """Who says how a photograph is prepared for a backbone with an open_clip_config.json.

    Raises FieldguideError where nobody says by what it is normalised; open_clip would take OpenAI's numbers.
    """
    known = {key: value for key, value in (config.get("preprocess_cfg") or {}).items() if key in KEYS and value}
    missing = [key for key in NORMALISATION if key not in known | given.given()]
    if missing:
        raise FieldguideError(f"{GIVEN}: give {', '.join(missing)}, which {where} lacks in preprocess_cfg; {DOCS}")
    return name_sources(known, where, given)


def name_sources(known: Mapping[str, Any], source: str, given: Preprocessing) -> str:
    """Who says what, where it is not all from one."""
    own = given.given()
    if not own:
        return source
    rest = [key for key in KEYS if key in known and key not in own]
    return f"{GIVEN} ({', '.join(own)})" + (f", {source} ({', '.join(rest)})" if rest else "")


def spell(value: Any) -> str:
    """A value as YAML has it."""
    return value if isinstance(value, str) else json.dumps(value)


def format_preprocessing(config: Mapping[str, Any]) -> str:
    """A `PreprocessCfg` in a line."""
    return ", ".join(f"{key} {spell(config[key])}" for key in ("size", *KEYS) if key in config)


def recorded(about: Mapping[str, str]) -> Preprocessing:
    """The preprocessing by which a feature file's images were made, so that another photograph gets the same one."""
    made = json.loads(about.get("preprocessing") or "{}")
    return Preprocessing(**{key: made[key] for key in KEYS if key in made} | {"size": set_by(about).size})


def set_by(about: Mapping[str, str]) -> Preprocessing:
    """What the user had set of it, which is a part of the backbone's key."""
    return Preprocessing(**json.loads(about.get("preprocessing_given") or "{}"))
