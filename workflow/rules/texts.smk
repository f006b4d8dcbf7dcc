"""Texts: one table per source, with the columns class_id, class_name, image_id, field, text; raw, then checked."""


rule index_captions:
    """Reed's captions of the training images."""
    input:
        root=f"{RESULTS}/unpacked/reed",
        images=f"{RESULTS}/records/images.csv",
        classes=f"{RESULTS}/records/classes.csv",
        code=get_code("index_captions"),
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
        mem_mb=1000,
        runtime=30,
    shell:
        """
        python -m fieldguide.index_captions \
            --root {input.root:q} \
            --images {input.images:q} \
            --classes {input.classes:q} \
            --out {output:q} &>{log:q}
        """


localrules:
    generate_texts,


rule generate_texts:
    """An LLM's sentences per class, replayed from its ledger."""
    input:
        ledger=get_ledger_if_any,
        prompt=get_prompt,
        classes=f"{RESULTS}/records/classes.csv",
        code=get_code("generate_texts"),
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
        source=get_source_settings,
        ledger=get_ledger,
    shell:
        """
        python -m fieldguide.generate_texts \
            --source {wildcards.source:q} \
            --ledger {params.ledger:q} \
            --model {params.source[model]:q} \
            --prompt {input.prompt:q} \
            --fields {params.source[fields]} \
            --replies-per-class {params.source[replies_per_class]} \
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
        code=get_code("check_texts"),
    output:
        table=f"{RESULTS}/texts/{{source}}.csv",
        page=f"{RESULTS}/texts/{{source}}.md",
    log:
        f"{RESULTS}/logs/check_texts/{{source}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/check_texts/{{source}}.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        options=get_check_options,
        model=tokenizer_model(get_backbone_model()),
    shell:
        """
        python -m fieldguide.check_texts \
            --source {wildcards.source:q} \
            --raw {input.raw:q} \
            --classes {input.classes:q} \
            --model {params.model:q} \
            --lexicon {input.lexicon:q} \
            {params.options} \
            --out {output.table:q} \
            --page {output.page:q} &>{log:q}
        """
