"""Configuration, paths and the lists that targets are made of."""

import json
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

CHECKOUT = Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).parents[1]
sys.path.insert(0, str(CHECKOUT / "src"))

from fieldguide.features.backbone import LOCAL, backbone_key, given_key, is_downloaded, manifest_path
from fieldguide.run.cluster import check_cluster
from fieldguide.workflow.config import check_config
from fieldguide.core.errors import FieldguideError
from fieldguide.core.provenance import modules_of
from fieldguide.adapters.recipes.registry import NAMES, RAW, RECIPES, WITH_NAMES
from fieldguide.run.guard import guard
from fieldguide.run.hooks import end_run, start_run, tell_of_kills
from fieldguide.translators.registry import TRANSLATORS, kinds_of
from fieldguide.features.tokenizer import ORDINARY, tokenizer_files, tokenizer_model


def get_resource(path):
    """A path of the configuration: as it is, or in the checkout when the workflow runs in another folder."""
    return path if Path(path).exists() or not (CHECKOUT / path).exists() else str(CHECKOUT / path)


def get_backbone_model():
    """The backbone's model as open_clip takes it, a local folder found wherever the workflow runs."""
    model = config["backbone"]["model"]
    return LOCAL + get_resource(model.removeprefix(LOCAL)) if model.startswith(LOCAL) else model


def get_backbone_key():
    """The key of the features' folder: of the backbone, or of the files where features were computed elsewhere."""
    if checked.dataset.kind == "features":
        return given_key(checked.dataset.model_dump(exclude={"name", "note"}))
    return backbone_key(
        get_backbone_model(),
        checked.backbone.pretrained,
        checked.backbone.precision,
    )


try:
    checked = check_config(config)
    BACKBONE = get_backbone_key()
except FieldguideError as error:
    raise WorkflowError(str(error)) from None

RESULTS = Path(checked.results, checked.dataset.name).as_posix()  # `./results` and `results//x` are written one way
IS_AVIARY = checked.dataset.kind == "aviary"
SHARD = "shard-{shard}-of-{shards}"
# Text tables that are made of class names.
PROMPTS = [NAMES, *(f"{source}{WITH_NAMES}" for source in checked.texts)]
CELL = "{translator}/{recipe}/{budget}/{source}/{sampling}/{redraw}/ratio-{ratio}"

# Jobs run this checkout's modules, with the Python that runs Snakemake unless conda brings another.
SRC = shlex.quote(str(CHECKOUT / "src"))
# Braces are doubled because Snakemake formats the prefix too.
EXPORTS = f"export PYTHONPATH={SRC}" + "${{PYTHONPATH:+:$PYTHONPATH}}; "
if not workflow.deployment_settings.deployment_method:
    EXPORTS += f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; "
EXPORTS += tell_of_kills()
shell.prefix(EXPORTS)
guard(workflow, Path(RESULTS))


wildcard_constraints:
    archive="cub|reed|coco_images|coco_annotations",
    source="|".join(checked.texts),
    translator="|".join(checked.translators),
    recipe="|".join(map(re.escape, RECIPES)),
    budget=r"(steps|epochs)(-\d+)?",
    sampling="class-wise|global",
    redraw="fixed|per-epoch",
    ratio=r"\d+",
    shard=r"\d+",
    shards=r"\d+",


def get_own_path(path):
    """A file of the checkout, relative where the workflow runs in it: moving the folder makes nothing run again."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def get_code(module):
    """The source files that a rule's module runs: changing one of them makes the rule run again."""
    return [get_own_path(path) for path in modules_of(module, CHECKOUT / "src")]


def get_existing(paths):
    """Those paths that exist, as inputs; of what is missing the stage itself says more than Snakemake."""
    return [str(path) for path in paths if Path(path).exists()]


def get_sources_of(kind):
    """A pattern of the names of the text sources of a kind."""
    return "|".join(re.escape(name) for name, text in checked.texts.items() if text.kind == kind) or "(?!)"


def get_options(**options):
    """Long options with their values, quoted; those without a value are left out."""
    return " ".join(f"--{name.replace('_', '-')}={shlex.quote(value)}" for name, value in options.items() if value)


def get_name_options(source):
    """The options that name a source's exceptions to the rule of class names."""
    names = getattr(checked.texts.get(source), "class_names", {})
    return " ".join(f"--name {shlex.quote(theirs)} {shlex.quote(ours)}" for theirs, ours in names.items())


def get_recipe_code(module):
    """A function for `input: code=`: the same with the file of the job's recipe."""
    return lambda wildcards: [*get_code(module), *get_code(f"adapters.recipes.{RECIPES[wildcards.recipe].module}")]


def get_cell(translator, source, sampling, redraw, ratio, recipe="thesis", budget=None, amount=None):
    """The result file of one cell; without text, or with texts as they are, there is no translator. The adapter's own
    budget needs no number.
    """
    cell = CELL.format(
        translator=translator if source != "none" and RECIPES[recipe].translates else "none",
        recipe=recipe,
        budget=checked.name_budget(budget, amount),
        source=source,
        sampling=sampling,
        redraw=redraw,
        ratio=ratio,
    )
    return f"{RESULTS}/adapters/{BACKBONE}/{cell}.json"


def get_recipe_cells(recipe, variant):
    """The cells of a recipe in a variant: image only needs images, a text source needs a share of text.

    Features computed elsewhere come without the encoder that class names need.
    """
    prompts = {
        "": variant.sources,
        "names": [NAMES],
        "attributes": [source for source in get_sources() if checked.texts[source].kind == "llm"],
    }
    return [
        get_cell(
            checked.sweep.translator,
            source,
            variant.sampling,
            variant.redraw,
            ratio,
            recipe,
            variant.budget,
            variant.amount,
        )
        for source in prompts[RECIPES[recipe].prompts]
        for ratio in checked.sweep.ratios
        if RECIPES[recipe].does(ratio, source != "none")
        if not (RECIPES[recipe].prompts and checked.dataset.kind == "features")
    ]


def get_cells():
    """The cells of the table."""
    sweep = checked.sweep
    cells = [
        cell for variant in sweep.variants for recipe in variant.recipes for cell in get_recipe_cells(recipe, variant)
    ]
    first = sweep.variants[0]
    cells += [
        get_cell(translator, source, first.sampling, first.redraw, 0, "thesis", first.budget, first.amount)
        for translator in sweep.text_only_translators
        for source in first.sources
        if source != "none"
    ]
    return cells


def get_budget(wildcards):
    """A cell's budget and its amount, as the adapter stages take them: `epochs-100`, or the adapter's own."""
    budget, _, amount = wildcards.budget.partition("-")
    return f"--budget {budget} --amount {amount or checked.adapter.amount}"


def get_study_cells():
    """The cells of the sampling study: every combination, image only and with each text source of the table."""
    study = checked.sampling_study
    return [
        get_cell(checked.sweep.translator, source, sampling, redraw, ratio, "thesis", budget, amount)
        for sampling in study.samplings
        for redraw in study.redraws
        for budget, amount in study.budgets
        for source in ["none", *get_sources()]
        for ratio in study.ratios
        if (ratio > 0 if source == "none" else ratio < 100)
    ]


def get_compared_cells():
    """The first variant's cells of every recipe and baseline, to stand side by side."""
    first = checked.sweep.variants[0]
    return [cell for recipe in [*first.recipes, *checked.sweep.baselines] for cell in get_recipe_cells(recipe, first)]


def get_sources():
    """The text sources that the table uses, in order of appearance."""
    named = [source for variant in checked.sweep.variants for source in variant.sources]
    return [source for source in dict.fromkeys(named) if source != "none"]


def get_shards(folder, count):
    """The files of all shards of a set of features, in order; features computed elsewhere are one."""
    count = 1 if checked.dataset.kind == "features" else count
    names = [SHARD.format(shard=number, shards=count) for number in range(1, count + 1)]
    return [f"{RESULTS}/features/{BACKBONE}/{folder}/{name}.safetensors" for name in names]


def get_image_features(images):
    """The image features of the target or of the world, all shards."""
    return get_shards(f"images/{images}", getattr(checked.backbone.shards, images))


def get_text_features(texts):
    """The text features of a source or of the world, all shards."""
    shards = checked.backbone.shards
    return get_shards(f"texts/{texts}", shards.world if texts == "world" else shards.texts)


def get_translators(rule):
    """The names of the translators that a rule fits."""
    return [name for name, settings in checked.translators.items() if settings.kind in kinds_of(rule)]


def get_translator_kind(wildcards):
    """A translator's kind; the texts as they are need no entry in the configuration."""
    return checked.translators[wildcards.translator].kind if wildcards.translator in checked.translators else RAW


def get_translator_code(module):
    """A function for `input: code=`: the same with the file of the job's translator."""
    return lambda wildcards: [
        *get_code(module),
        *get_code(f"translators.kinds.{TRANSLATORS[get_translator_kind(wildcards)].module}"),
    ]


def get_qformer_options(wildcards):
    """A Q-Former's settings as train_qformer takes them: all are named alike."""
    settings = checked.translators[wildcards.translator].model_dump()
    return shlex.join(f"--{name.replace('_', '-')}={value}" for name, value in settings.items())


def get_translator_file(wildcards):
    """The file of a fitted translator; none for one that learns nothing."""
    is_fitted = TRANSLATORS[get_translator_kind(wildcards)].rule
    return [f"{RESULTS}/translators/{BACKBONE}/{wildcards.translator}/translator.safetensors"] if is_fitted else []


def get_translator_option(wildcards):
    """The option that says how a translator translates: its kind, or the file that its fitting wrote."""
    fitted = get_translator_file(wildcards)
    return f"--translator {shlex.quote(fitted[0])}" if fitted else f"--kind {get_translator_kind(wildcards)}"


def get_translator_gpu(wildcards):
    """GPUs that translating asks for; only some translators run a network."""
    return GPU if TRANSLATORS[get_translator_kind(wildcards)].network else 0


def get_fit_options(wildcards):
    """The settings of a translator that is fitted to pooled features."""
    settings = checked.translators[wildcards.translator]
    values = json.dumps({name: list(tried) for name, tried in settings.values.items()})
    options = [f"--kind={settings.kind}", f"--exclude={settings.exclude}", f"--values={values}"]
    return shlex.join([*options, f"--held-out={settings.held_out}", f"--seed={settings.seed}"])


def get_compared_translators():
    """The translators whose conversion accuracy is measured, that of the table among them; none where there are no pairs."""
    compared = checked.conversion.translators if checked.dataset.kind != "features" else ()
    return list(dict.fromkeys([*compared, checked.sweep.translator])) if compared else []


def get_used_translators(rule):
    """The translators that a rule fits, of those that any table names."""
    used = [checked.sweep.translator, *checked.sweep.text_only_translators, *get_compared_translators()]
    return [name for name in get_translators(rule) if name in used]


def get_conversion_cells():
    """The cells by which translators are compared: an even mix, text alone, and zero-shot, with every text source."""
    first = checked.sweep.variants[0]
    return [
        get_cell(translator, source, first.sampling, "fixed", ratio, recipe, first.budget, first.amount)
        for translator in get_compared_translators()
        for source in get_sources()
        for recipe, ratio in (("thesis", 50), ("thesis", 0), ("zs-translated", 0))
    ]


def get_conversion_tables():
    """The conversion tables and figures, where translators are compared."""
    names = ("conversion.csv", "conversion.md", "conversion_fields.csv", "conversion_fields.md")
    names += ("conversion_classes.csv", "conversion_words.csv")
    tables = [f"{RESULTS}/tables/{name}" for name in names]
    figures = [f"{RESULTS}/figures/conversion.svg", f"{RESULTS}/figures/conversion_pca.svg"]
    return [*tables, *figures] if get_compared_translators() else []


def get_translated_sources(wildcards):
    """The text tables and the translated features of every source, through one translator."""
    translated = f"{RESULTS}/translated/{BACKBONE}/{wildcards.translator}"
    return [file for s in get_sources() for file in (f"{RESULTS}/texts/{s}.csv", f"{translated}/{s}.safetensors")]


def get_drawn_source():
    """The table of the first text source, its features through the table's translator, and as they are."""
    translated = f"{RESULTS}/translated/{BACKBONE}"
    return [
        file
        for source in get_sources()[:1]
        for file in (
            f"{RESULTS}/texts/{source}.csv",
            f"{translated}/{checked.sweep.translator}/{source}.safetensors",
            f"{translated}/{RAW}/{source}.safetensors",
        )
    ]


def get_translated_options(wildcards):
    """The options that name them."""
    files = get_translated_sources(wildcards)
    triples = zip(get_sources(), files[::2], files[1::2], strict=True)
    return " ".join(f"--source {shlex.quote('='.join(triple))}" for triple in triples)


def get_tables():
    """The comparison table in every format, and its figure."""
    tables = [f"{RESULTS}/tables/accuracy.{ending}" for ending in ("csv", "md", "tex", "html")]
    tables += [f"{RESULTS}/tables/{name}" for name in ("differences.csv", "image_worth.csv", "image_worth.md")]
    return [*tables, f"{RESULTS}/figures/accuracy.svg"]


def get_extras():
    """What `everything` adds to the comparison table."""
    extras = [f"{RESULTS}/tables/probe.csv", f"{RESULTS}/tables/recipes.csv"]
    extras += [f"{RESULTS}/tables/sampling.{ending}" for ending in ("csv", "md")]
    # Features computed elsewhere come without token features, which a Q-Former reads.
    trained = get_used_translators("train_qformer") if checked.dataset.kind != "features" else []
    extras += [f"{RESULTS}/translators/{BACKBONE}/{name}/curve.svg" for name in trained]
    extras += get_conversion_tables()
    return [*extras, f"{RESULTS}/figures/birds.png"] if IS_AVIARY else extras


def get_report_tables():
    """The tidy tables that the report shows: all that `everything` makes, and what is told by class."""
    made = [path for path in [*get_tables(), *get_extras()] if path.startswith(f"{RESULTS}/tables/")]
    return [path for path in made if path.endswith(".csv")] + list(rules.predict_classes.output)


def get_typeset_tables():
    """Those of them that are typeset for LaTeX; the comparison table is typeset where it is made."""
    names = ("recipes.csv", "image_worth.csv", "conversion.csv")
    return [table for table in [*get_tables(), *get_extras()] if Path(table).name in names]


def get_photographs():
    """Where the labelled images lie; none where features were computed elsewhere."""
    folder = getattr(checked.dataset, "root", f"{RESULTS}/unpacked/cub")
    return [] if checked.dataset.kind == "features" else [folder]


def get_report_options():
    """The options that name the photographs and the texts of the table."""
    texts = [f"{source}={RESULTS}/texts/{source}.csv" for source in get_sources()]
    photographs = [f"--photographs={shlex.quote(folder)}" for folder in get_photographs()]
    return " ".join([*photographs, f"--texts {shlex.join(texts)}" if texts else ""])


def get_configuration(wildcards):
    """The whole configuration as JSON, which the report shows; a function, since braces would count as wildcards."""
    return json.dumps(checked.model_dump(mode="json"))


# GPUs that a rule with a network asks for; a machine without one ignores it, a cluster may set another number.
GPU = 1


def get_more_each_try(amount):
    """A resource of which a job that failed asks more when it is tried again: twice, three times as much."""
    return lambda wildcards, attempt: amount * attempt


def check_jobs():
    """Before the first job: where a cluster runs them, none of an earlier run is left there, and GPUs can be had."""
    try:
        check_cluster(workflow, RESULTS)
    except FieldguideError as error:
        raise WorkflowError(str(error)) from None


onstart:
    check_jobs()
    start_run(workflow, Path(RESULTS))


onsuccess:
    end_run(workflow, Path(RESULTS), CHECKOUT, config, is_success=True)


onerror:
    end_run(workflow, Path(RESULTS), CHECKOUT, config, is_success=False)


def get_archive(wildcards):
    """The raw archive of a data set: rendered, or as configured."""
    if IS_AVIARY:
        return rules.render_aviary.output[wildcards.archive]
    return getattr(checked.data, wildcards.archive).path


def get_missing_archives():
    """Raw archives to download, by name. One that exists is the user's: Snakemake deletes what it is about to make."""
    names = {"reed": "reed_captions"}
    archives = {names.get(name, name): dict(archive) for name, archive in dict(checked.data).items()}
    return {name: settings for name, settings in archives.items() if not Path(settings["path"]).exists()}


def get_world_images(wildcards):
    """The world's images: a zip read in place, or a folder."""
    return rules.render_aviary.output.coco_images if IS_AVIARY else checked.data.coco_images.path


def get_world_annotations(wildcards):
    """The world's captions."""
    return rules.render_aviary.output.coco_annotations if IS_AVIARY else checked.data.coco_annotations.path


def get_manifest():
    """What says that the backbone's weights were downloaded; none where they are on this disk anyway."""
    is_needed = is_downloaded(get_backbone_model(), checked.backbone.pretrained)
    return [str(manifest_path(checked.backbone.cache, BACKBONE))] if is_needed else []


def get_tokenizer_manifest():
    """The same for the tokenizer; none where it is CLIP's own, which open_clip brings along."""
    return [] if tokenizer_model(get_backbone_model()) == ORDINARY else get_manifest()


def get_cache(wildcards, input):
    """The folder that an encoder takes the weights from; empty where they are no download."""
    return str(Path(input.backbone[0]).parent) if input.backbone else ""


def get_offline():
    """The environment of an encoder: with all that it needs on this disk, it asks no hub."""
    return "HF_HUB_OFFLINE=1" if get_manifest() else ""


def get_image_store(wildcards):
    """Where the images of the target or the world lie."""
    target = getattr(checked.dataset, "root", f"{RESULTS}/unpacked/cub")
    return target if wildcards.images == "target" else get_world_images(wildcards)


def get_image_records(wildcards):
    """The table that lists them."""
    return f"{RESULTS}/records/{'images' if wildcards.images == 'target' else 'pairs'}.csv"


def get_text_table(wildcards):
    """The table of a text source, or the world's pairs."""
    return f"{RESULTS}/records/pairs.csv" if wildcards.texts == "world" else f"{RESULTS}/texts/{wildcards.texts}.csv"


def get_ledger(wildcards):
    """The ledger of an LLM's replies."""
    return get_resource(checked.texts[wildcards.source].ledger)


def get_replayed_ledger(wildcards):
    """The same as an input, unless its source has an endpoint: then the job itself makes it grow, and other sources too.

    Where there is none yet, the stage itself says so.
    """
    is_asked = bool(checked.texts[wildcards.source].base_url)
    return [ledger for ledger in [get_ledger(wildcards)] if Path(ledger).exists() and not is_asked]


def get_question(wildcards):
    """What decides a source's texts: the model, what it is asked and how often."""
    source = checked.texts[wildcards.source]
    return {
        "model": source.model,
        "fields": list(source.fields),
        "replies_per_class": source.replies_per_class,
        "parameters": json.dumps(source.request_parameters(), sort_keys=True),
        "thing": checked.dataset.thing,
        "structured": source.structured,
    }


def get_asking(wildcards, input):
    """How missing replies are asked for. With `input` among its arguments Snakemake counts it as derived, so that
    another price, pace or budget makes no texts anew."""
    source = checked.texts[wildcards.source]
    budget = "" if source.budget_usd is None else source.budget_usd
    return {**dict(source), "ledger": get_ledger(wildcards), "budget_usd": budget}


def get_priced_sources(wildcards):
    """The LLMs of the table as JSON; given as a function, since a template's braces would count as wildcards."""
    sources = {name: checked.texts[name] for name in get_sources() if checked.texts[name].kind == "llm"}
    found = {"ledger": get_resource, "prompt": get_resource}
    return json.dumps(
        {
            name: {
                key: found.get(key, lambda value: value)(value) for key, value in source.model_dump(mode="json").items()
            }
            for name, source in sources.items()
        }
    )


def get_class_count():
    """How many classes the data set has, where that is known without its data; else 0."""
    return {"cub": 200, "aviary": checked.aviary.species}.get(checked.dataset.kind, 0)


def get_prompt(wildcards):
    """The prompt that the replies answer."""
    return get_resource(checked.texts[wildcards.source].prompt)


def get_check_options(wildcards):
    """How check_texts is to treat a source's texts; what does not matter to them is left out."""
    source = checked.texts[wildcards.source]
    options = ["--at-least", str(source.at_least), "--naming", source.naming]
    options += {"added": ["--template", source.template], "removed": ["--thing", checked.dataset.thing]}.get(
        source.naming, []
    )
    return shlex.join([*options, *(["--visible-only"] if source.visible_only else [])])


def get_source_files(translator, source, recipe):
    """A source's text table, its translated features and its raw ones, as far as the recipe reads them."""
    texts = source + WITH_NAMES if RECIPES[recipe].prompts == "attributes" else source
    translated = f"{RESULTS}/translated/{BACKBONE}/{translator}/{texts}.safetensors"
    files = [f"{RESULTS}/texts/{texts}.csv", translated if RECIPES[recipe].translates else ""]
    return files + (
        [f"{RESULTS}/translated/{BACKBONE}/{RAW}/{texts}.safetensors"] if "raw" in RECIPES[recipe].texts else []
    )


def get_source_option(translator, source, recipe):
    """NAME=TABLE=TRANSLATED=RAW, as the adapter stages take a text source; a unit that its table does not tell is named."""
    name = f"{source}:reply" if getattr(checked.texts.get(source), "unit", "") == "reply" else source
    return "--source " + "=".join([name, *get_source_files(translator, source, recipe)])


def get_tuning_sources(wildcards):
    """The text sources that tuning a recipe looks at: all of the table, or none."""
    return get_sources() if RECIPES[wildcards.recipe].texts else []


def get_tuning_texts(wildcards):
    """Their files."""
    files = [get_source_files(wildcards.translator, s, wildcards.recipe) for s in get_tuning_sources(wildcards)]
    return [file for of_source in files for file in of_source if file]


def get_source_options(wildcards):
    """The options that name them."""
    options = [get_source_option(wildcards.translator, s, wildcards.recipe) for s in get_tuning_sources(wildcards)]
    return " ".join(options)


def get_tuning(wildcards):
    """The file of a cell's hyper-parameters; none for a recipe that has none."""
    recipe = RECIPES[wildcards.recipe].tuned_as or wildcards.recipe
    path = f"{RESULTS}/tuning/{BACKBONE}/{checked.sweep.translator}/{recipe}/{wildcards.budget}.json"
    return [path] if RECIPES[recipe].tuned else []


def get_tuning_option(wildcards):
    """The option that names it."""
    return " ".join(f"--tuning {path}" for path in get_tuning(wildcards))


def get_cell_texts(wildcards):
    """The files of a cell's text source; none for image only."""
    if wildcards.source == "none":
        return []
    return [file for file in get_source_files(wildcards.translator, wildcards.source, wildcards.recipe) if file]


def get_cell_source(wildcards):
    """The option that names a cell's text source; none for image only."""
    if wildcards.source == "none":
        return ""
    return get_source_option(wildcards.translator, wildcards.source, wildcards.recipe)


def get_named_texts(wildcards):
    """The text table that gets class names put before its texts; none for the names alone."""
    return [] if wildcards.prompts == NAMES else [f"{RESULTS}/texts/{wildcards.prompts.removesuffix(WITH_NAMES)}.csv"]


def get_named_texts_option(wildcards):
    """The option that names it."""
    return " ".join(f"--texts {path}" for path in get_named_texts(wildcards))


def get_import_options(wildcards):
    """How a file of texts is read."""
    source = checked.texts[wildcards.source]
    columns = {name: getattr(source, name) for name in ("class_column", "image_column", "field_column", "text_column")}
    options = [get_options(per=source.per, others=source.others, **columns), get_name_options(wildcards.source)]
    fields = " ".join(map(shlex.quote, source.fields))
    return " ".join([*options, f"--fields {fields}"] if fields else options)


def get_image_folders(wildcards):
    """The folders that hold the images: their times change when an image comes or goes."""
    root = Path(checked.dataset.root)
    splits = [] if checked.dataset.table else [root / split for split in dict(checked.dataset.splits).values()]
    classes = [path for split in get_existing(splits) for path in sorted(Path(split).iterdir()) if path.is_dir()]
    return get_existing([root, *splits, *classes])


def get_feature_files():
    """The user's files of image features: the option that takes each, and its path."""
    parts = {"all": checked.dataset.images, "train": checked.dataset.train, "test": checked.dataset.test}
    named = [
        (f"--{option} {part}=", getattr(files, key))
        for part, files in parts.items()
        for key, option in (("path", "features"), ("labels", "labels"), ("splits", "splits"), ("ids", "ids"))
        if files
    ]
    return [(option, file) for option, file in [*named, ("--class-names=", checked.dataset.class_names)] if file]


def get_feature_options():
    """The options that name them."""
    return " ".join(option + shlex.quote(file) for option, file in get_feature_files())


def get_text_feature_options(wildcards):
    """The options that name a source's arrays that are files of their own, and its names of classes."""
    given = checked.texts[wildcards.source]
    files = get_options(text_classes=given.classes, texts=given.texts, fields=given.fields, image_ids=given.image_ids)
    return " ".join([files, get_name_options(wildcards.source)])


def get_text_feature_files(wildcards):
    """A source's files."""
    given = checked.texts[wildcards.source]
    named = (given.path, given.classes, given.texts, given.fields, given.image_ids)
    return get_existing(file for file in named if file)


def get_published():
    """The published figures, where they belong beside ours."""
    is_cub = checked.dataset.name == "cub" or checked.dataset.name.startswith("cub-")
    return [get_resource(checked.published)] if is_cub else []


def get_published_option(option):
    """The option that hands them over; none elsewhere."""
    return " ".join([option, *get_published()]) if get_published() else ""


def get_notes():
    """The sentences that stand above the table."""
    sentences = [checked.dataset.note] if checked.dataset.note else []
    sentences.append(
        "Hyper-parameters were chosen on a held-out part of all training images, so labels beyond a "
        "cell's own share had a part in that choice."
    )
    return " ".join(f"--note {shlex.quote(' '.join(sentence.split()))}" for sentence in sentences)
