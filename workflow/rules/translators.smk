"""Translators: text features to image features, learnt on the world's pairs only."""


rule train_qformer:
    """Train a Q-Former; held-out images choose the checkpoint. A killed one goes on where it was."""
    input:
        pairs=f"{RESULTS}/records/pairs.csv",
        images=get_image_features("world"),
        texts=get_text_features("world"),
        code=get_code("translators.train_qformer"),
    output:
        translator=f"{RESULTS}/translators/{BACKBONE}/{{translator}}/translator.safetensors",
        curve=f"{RESULTS}/translators/{BACKBONE}/{{translator}}/curve.csv",
        figure=f"{RESULTS}/translators/{BACKBONE}/{{translator}}/curve.svg",
    log:
        f"{RESULTS}/logs/train_qformer/{{translator}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_qformer/{{translator}}.tsv"
    wildcard_constraints:
        translator="|".join(get_translators("train_qformer")) or "(?!)",
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/translator", within=config)
    resources:
        mem_mb=get_more_each_try(16000),
        runtime=get_more_each_try(480),
        gpu=GPU,
    params:
        options=get_qformer_options,
        test_share=checked.world.test_share,
        out=subpath(output.translator, parent=True),
        threads=lookup(dpath="threads/translator", within=config),
    shell:
        """
        python -m fieldguide.translators.train_qformer \
            --pairs {input.pairs:q} \
            --images {input.images:q} \
            --texts {input.texts:q} \
            {params.options} \
            --test-share {params.test_share} \
            --threads {params.threads} \
            --out {params.out:q} &>{log:q}
        """


rule fit_translator:
    """Fit a translator to the pairs' pooled features; held-out images choose its hyper-parameters."""
    input:
        pairs=f"{RESULTS}/records/pairs.csv",
        images=get_image_features("world"),
        texts=get_text_features("world"),
        code=get_translator_code("translators.fit_translator"),
    output:
        translator=f"{RESULTS}/translators/{BACKBONE}/{{translator}}/translator.safetensors",
        selection=f"{RESULTS}/translators/{BACKBONE}/{{translator}}/selection.csv",
    log:
        f"{RESULTS}/logs/fit_translator/{{translator}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_translator/{{translator}}.tsv"
    wildcard_constraints:
        translator="|".join(get_translators("fit_translator")) or "(?!)",
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/translator", within=config)
    resources:
        mem_mb=12000,
        runtime=240,
    params:
        options=get_fit_options,
        test_share=checked.world.test_share,
        out=subpath(output.translator, parent=True),
        threads=lookup(dpath="threads/translator", within=config),
    shell:
        """
        python -m fieldguide.translators.fit_translator \
            {params.options} \
            --pairs {input.pairs:q} \
            --images {input.images:q} \
            --texts {input.texts:q} \
            --test-share {params.test_share} \
            --threads {params.threads} \
            --out {params.out:q} &>{log:q}
        """


rule translate_texts:
    """A source's text features as the image features they would have had."""
    input:
        translator=get_translator_file,
        texts=get_text_features("{source}"),
        table=f"{RESULTS}/texts/{{source}}.csv",
        code=get_translator_code("translators.translate_texts"),
    output:
        f"{RESULTS}/translated/{BACKBONE}/{{translator}}/{{source}}.safetensors",
    log:
        f"{RESULTS}/logs/translate_texts/{{translator}}/{{source}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/translate_texts/{{translator}}/{{source}}.tsv"
    wildcard_constraints:
        translator="|".join([RAW, *checked.translators]),
        source="|".join([*checked.texts, *PROMPTS]),
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/translator", within=config)
    resources:
        mem_mb=get_more_each_try(8000),
        runtime=get_more_each_try(60),
        gpu=get_translator_gpu,
    params:
        translator=get_translator_option,
        threads=lookup(dpath="threads/translator", within=config),
    shell:
        """
        python -m fieldguide.translators.translate_texts \
            {params.translator} \
            --texts {input.texts:q} \
            --table {input.table:q} \
            --threads {params.threads} \
            --out {output:q} &>{log:q}
        """
