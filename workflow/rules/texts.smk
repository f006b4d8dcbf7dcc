"""Texts: one table per source, with the columns class_id, class_name, image_id, field, text; raw, then checked."""


rule index_captions:
    """Reed's captions of the training images."""
    input:
        root=layout.unpacked("reed"),
        images=layout.image_records,
        classes=layout.class_records,
    output:
        layout.raw_texts("reed"),
    log:
        layout.log("index_captions", "reed"),
    benchmark:
        layout.benchmark("index_captions", "reed")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=more_each_try(1000),
        runtime=more_each_try(30),
    params:
        code=code("texts.index_captions"),
        settings=texts.caption_settings,
    shell:
        """
        python -m fieldguide.texts.index_captions \
            --root {input.root:q} \
            --images {input.images:q} \
            --classes {input.classes:q} \
            --settings {params.settings:q} \
            --out {output:q} &>{log:q}
        """


localrules:
    generate_texts,
    price_texts,
    check_llm,


rule generate_texts:
    """An LLM's sentences per class, replayed from its ledger; replies that it lacks are asked for first."""
    input:
        ledger=texts.replayed_ledger,
        prompt=texts.prompt,
        classes=layout.class_records,
    output:
        layout.raw_texts("{source}"),
    log:
        layout.log("generate_texts", "{source}"),
    benchmark:
        layout.benchmark("generate_texts", "{source}")
    wildcard_constraints:
        source=either(layout.sources_of("llm")),
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        code=code("texts.generate_texts"),
        question=texts.question,
        settings=texts.generate_settings,
    shell:
        # What was asked and paid goes to the terminal too. Of the params `question` alone makes texts anew.
        """
        python -m fieldguide.texts.generate_texts \
            --source {wildcards.source:q} \
            --settings {params.settings:q} \
            --classes {input.classes:q} \
            --out {output:q} 2>{log:q}
        """


# Without a benchmark, which Snakemake counts as an output: once it was there, the prices would not be told again.
rule price_texts:
    """What the LLM replies that are still missing will cost; asks nothing, hangs on no data, is never a part of `all`."""
    log:
        layout.log("price_texts", "price_texts"),
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("texts.price_texts"),
        settings=texts.price_settings,
        classes=layout.class_records,
    shell:
        """
        python -m fieldguide.texts.price_texts \
            --settings {params.settings:q} \
            --classes {params.classes:q} 2>{log:q} || {{ cat {log:q}; exit 1; }}
        """


# Without outputs, as above. A run that makes an LLM's texts does the same before its first job (`check_llms` in common.smk):
# as an input of downloads and encoders it would make them again whenever a source is added.
rule check_llm:
    """Whether the LLMs of the table can be asked: key, model, its last day. Never a part of `all`, and before all of it."""
    log:
        layout.log("check_llm"),
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("texts.check_llm"),
        words=lambda wildcards: texts.check_words(texts.llms()),
    shell:
        """
        python -m fieldguide.texts.check_llm {params.words:q} 2>{log:q} || {{ cat {log:q}; exit 1; }}
        """


localrules:
    import_texts,


# A source of the user's own may be called as one of ours.
ruleorder: import_texts > index_captions


rule import_texts:
    """A text source from a file that somebody brought along."""
    input:
        file=texts.file,
        images=layout.image_records,
        classes=layout.class_records,
    output:
        layout.raw_texts("{source}"),
    log:
        layout.log("import_texts", "{source}"),
    benchmark:
        layout.benchmark("import_texts", "{source}")
    wildcard_constraints:
        source=either(layout.sources_of("file")),
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("texts.import_texts"),
        settings=texts.import_settings,
    shell:
        """
        python -m fieldguide.texts.import_texts \
            --settings {params.settings:q} \
            --images {input.images:q} \
            --classes {input.classes:q} \
            --out {output:q} &>{log:q}
        """


rule check_texts:
    """A source's texts as they are used, checked, and a page on which to read them."""
    input:
        raw=layout.raw_texts("{source}"),
        classes=layout.class_records,
        lexicon=texts.lexicon,
        tokenizer=features.tokenizer_files,
        backbone=features.tokenizer_manifest(),
    output:
        table=layout.texts("{source}"),
        page=layout.text_page("{source}"),
    log:
        layout.log("check_texts", "{source}"),
    benchmark:
        layout.benchmark("check_texts", "{source}")
    wildcard_constraints:
        source=either(layout.sources_of("captions", "llm", "file")),
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=more_each_try(2000),
        runtime=more_each_try(30),
    params:
        code=code("texts.check_texts"),
        settings=texts.check_settings,
        model=features.tokenizer_model,
        cache=features.cache,
        offline=features.tokenizer_offline(),
    shell:
        """
        env {params.offline} python -m fieldguide.texts.check_texts \
            --source {wildcards.source:q} \
            --raw {input.raw:q} \
            --classes {input.classes:q} \
            --model {params.model:q} \
            --cache={params.cache:q} \
            --lexicon {input.lexicon:q} \
            --settings {params.settings:q} \
            --out {output.table:q} \
            --page {output.page:q} &>{log:q}
        """


localrules:
    write_control,


rule write_control:
    """A control: as many texts as a source has, which say nothing of their class; given features come row by row."""
    input:
        texts=texts.control_table,
        features=texts.control_features,
        classes=layout.class_records,
        names=texts.control_names,
        name_features=texts.control_name_features,
        families=texts.control_families,
    output:
        table=layout.texts("{source}"),
        features=layout.text_features("{source}") if checked.dataset.kind == "features" else [],
    log:
        layout.log("write_control", "{source}"),
    benchmark:
        layout.benchmark("write_control", "{source}")
    wildcard_constraints:
        source=either(layout.sources_of("control")),
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        code=code("texts.write_control"),
        settings=texts.control_settings,
    shell:
        """
        python -m fieldguide.texts.write_control \
            --settings {params.settings:q} \
            --texts {input.texts:q} \
            --features {input.features:q} \
            --classes {input.classes:q} \
            --names {input.names:q} \
            --name-features {input.name_features:q} \
            --out {output.table:q} \
            --features-out {output.features:q} &>{log:q}
        """


localrules:
    write_prompts,


rule write_prompts:
    """Texts made of class names, for zero-shot: the names alone, or before each text of a source."""
    input:
        classes=layout.class_records,
        texts=texts.named_texts,
    output:
        layout.texts("{prompts}"),
    log:
        layout.log("write_prompts", "{prompts}"),
    benchmark:
        layout.benchmark("write_prompts", "{prompts}")
    wildcard_constraints:
        prompts=either(layout.prompts),
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("texts.write_prompts"),
    shell:
        """
        python -m fieldguide.texts.write_prompts \
            --classes {input.classes:q} \
            --texts {input.texts:q} \
            --out {output:q} &>{log:q}
        """
