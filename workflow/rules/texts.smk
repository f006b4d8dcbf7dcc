"""Texts: one table per source, with the columns class_id, class_name, image_id, field, text."""


rule index_captions:
    """Reed's captions of the training images."""
    input:
        root=f"{RESULTS}/unpacked/reed",
        images=f"{RESULTS}/records/images.csv",
        classes=f"{RESULTS}/records/classes.csv",
        code=get_code("index_captions"),
    output:
        f"{RESULTS}/texts/reed.csv",
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
        f"{RESULTS}/texts/{{source}}.csv",
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
        source=lookup(dpath="texts/{source}", within=config),
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


localrules:
    write_prompts,


rule write_prompts:
    """Texts made of class names, for zero-shot: the names alone, or before each text of a source."""
    input:
        classes=f"{RESULTS}/records/classes.csv",
        texts=get_named_texts,
        code=get_code("write_prompts"),
    output:
        f"{RESULTS}/texts/{{prompts}}.csv",
    log:
        f"{RESULTS}/logs/write_prompts/{{prompts}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_prompts/{{prompts}}.tsv"
    wildcard_constraints:
        prompts="|".join([NAMES, *(f"{source}{WITH_NAMES}" for source in checked.texts)]),
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
        python -m fieldguide.write_prompts \
            --classes {input.classes:q} \
            {params.texts} \
            --out {output:q} &>{log:q}
        """
