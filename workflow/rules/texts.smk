"""Texts: one table per source, with the columns class_id, class_name, image_id, field, text; raw, then checked."""


rule index_captions:
    """Reed's captions of the training images."""
    input:
        root=f"{RESULTS}/unpacked/reed",
        images=f"{RESULTS}/records/images.csv",
        classes=f"{RESULTS}/records/classes.csv",
        code=get_code("texts.index_captions"),
    output:
        f"{RESULTS}/texts/raw/reed.csv",
    log:
        f"{RESULTS}/logs/index_captions/reed.log",
    benchmark:
        f"{RESULTS}/benchmarks/index_captions/reed.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=get_more_each_try(1000),
        runtime=get_more_each_try(30),
    params:
        names=get_name_options("reed"),
    shell:
        """
        python -m fieldguide.texts.index_captions \
            --root {input.root:q} \
            --images {input.images:q} \
            --classes {input.classes:q} \
            {params.names} \
            --out {output:q} &>{log:q}
        """


localrules:
    generate_texts,
    price_texts,


rule generate_texts:
    """An LLM's sentences per class, replayed from its ledger; replies that it lacks are asked for first."""
    input:
        ledger=get_replayed_ledger,
        prompt=get_prompt,
        classes=f"{RESULTS}/records/classes.csv",
        code=get_code("texts.generate_texts"),
    output:
        f"{RESULTS}/texts/raw/{{source}}.csv",
    log:
        f"{RESULTS}/logs/generate_texts/{{source}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/generate_texts/{{source}}.tsv"
    wildcard_constraints:
        source="|".join(name for name, text in checked.texts.items() if text.kind == "llm") or "-",
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        question=get_question,
        asking=get_asking,
    shell:
        # What was asked and paid goes to the terminal too.
        """
        python -m fieldguide.texts.generate_texts \
            --source {wildcards.source:q} \
            --ledger {params.asking[ledger]:q} \
            --model {params.question[model]:q} \
            --prompt {input.prompt:q} \
            --thing={params.question[thing]:q} \
            --fields {params.question[fields]:q} \
            --replies-per-class {params.question[replies_per_class]} \
            --parameters {params.question[parameters]:q} \
            --structured {params.question[structured]} \
            --base-url={params.asking[base_url]:q} \
            --key-variable {params.asking[key_variable]:q} \
            --max-concurrency {params.asking[max_concurrency]} \
            --requests-per-minute {params.asking[requests_per_minute]} \
            --tokens-per-minute {params.asking[tokens_per_minute]} \
            --budget-usd={params.asking[budget_usd]:q} \
            --input-price {params.asking[prices].input} \
            --output-price {params.asking[prices].output} \
            --other-classes {params.asking[other_classes]} \
            --attempts {params.asking[attempts]} \
            --retries {params.asking[retries]} \
            --backoff {params.asking[backoff]} \
            --timeout {params.asking[timeout]} \
            --classes {input.classes:q} \
            --out {output:q} 2>{log:q}
        """


# Without a benchmark, which Snakemake counts as an output: once it was there, the prices would not be told again.
rule price_texts:
    """What the LLM replies that are still missing will cost; asks nothing, hangs on no data, is never a part of `all`."""
    input:
        code=get_code("texts.price_texts"),
    log:
        f"{RESULTS}/logs/price_texts/price_texts.log",
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        sources=get_priced_sources,
        classes=f"{RESULTS}/records/classes.csv",
        class_count=get_class_count(),
        thing=lookup(dpath="dataset/thing", within=config),
    shell:
        """
        python -m fieldguide.texts.price_texts \
            --sources {params.sources:q} \
            --thing {params.thing:q} \
            --classes {params.classes:q} \
            --class-count {params.class_count} 2>{log:q} || {{ cat {log:q}; exit 1; }}
        """


localrules:
    import_texts,


# A source of the user's own may be called as one of ours.
ruleorder: import_texts > index_captions


rule import_texts:
    """A text source from a file that somebody brought along."""
    input:
        file=lambda wildcards: get_existing([checked.texts[wildcards.source].path]),
        images=f"{RESULTS}/records/images.csv",
        classes=f"{RESULTS}/records/classes.csv",
        code=get_code("texts.import_texts"),
    output:
        f"{RESULTS}/texts/raw/{{source}}.csv",
    log:
        f"{RESULTS}/logs/import_texts/{{source}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/import_texts/{{source}}.tsv"
    wildcard_constraints:
        source=get_sources_of("file"),
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        file=lambda wildcards: checked.texts[wildcards.source].path,
        options=get_import_options,
    shell:
        """
        python -m fieldguide.texts.import_texts \
            --file {params.file:q} \
            {params.options} \
            --images {input.images:q} \
            --classes {input.classes:q} \
            --out {output:q} &>{log:q}
        """


rule check_texts:
    """A source's texts as they are used, checked, and a page on which to read them."""
    input:
        raw=f"{RESULTS}/texts/raw/{{source}}.csv",
        classes=f"{RESULTS}/records/classes.csv",
        lexicon=get_resource(checked.dataset.not_visible),
        tokenizer=tokenizer_files(get_backbone_model()),
        backbone=get_tokenizer_manifest(),
        code=get_code("texts.check_texts"),
    output:
        table=f"{RESULTS}/texts/{{source}}.csv",
        page=f"{RESULTS}/texts/{{source}}.md",
    log:
        f"{RESULTS}/logs/check_texts/{{source}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/check_texts/{{source}}.tsv"
    wildcard_constraints:
        source="|".join(re.escape(name) for name, text in checked.texts.items() if text.kind != "features") or "(?!)",
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=get_more_each_try(2000),
        runtime=get_more_each_try(30),
    params:
        options=get_check_options,
        model=tokenizer_model(get_backbone_model()),
        cache=get_cache,
        offline="HF_HUB_OFFLINE=1" if get_tokenizer_manifest() else "",
    shell:
        """
        env {params.offline} python -m fieldguide.texts.check_texts \
            --source {wildcards.source:q} \
            --raw {input.raw:q} \
            --classes {input.classes:q} \
            --model {params.model:q} \
            --cache={params.cache:q} \
            --lexicon {input.lexicon:q} \
            {params.options} \
            --out {output.table:q} \
            --page {output.page:q} &>{log:q}
        """


localrules:
    write_prompts,


rule write_prompts:
    """Texts made of class names, for zero-shot: the names alone, or before each text of a source."""
    input:
        classes=f"{RESULTS}/records/classes.csv",
        texts=get_named_texts,
        code=get_code("texts.write_prompts"),
    output:
        f"{RESULTS}/texts/{{prompts}}.csv",
    log:
        f"{RESULTS}/logs/write_prompts/{{prompts}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_prompts/{{prompts}}.tsv"
    wildcard_constraints:
        prompts="|".join(PROMPTS),
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        texts=get_named_texts_option,
    shell:
        """
        python -m fieldguide.texts.write_prompts \
            --classes {input.classes:q} \
            {params.texts} \
            --out {output:q} &>{log:q}
        """
