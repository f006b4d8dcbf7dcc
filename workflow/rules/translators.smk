"""Translators: text features to image features, learnt on the image/caption pairs only."""


rule train_qformer:
    """Train a Q-Former; held-out images choose the checkpoint. A killed one goes on where it was."""
    input:
        pairs=layout.pair_records,
        images=layout.image_features("pairs"),
        texts=layout.text_features("pairs"),
    output:
        translator=layout.translator("{translator}"),
        curve=layout.translator("{translator}", "curve.csv"),
        figure=layout.translator("{translator}", "curve.svg"),
    log:
        layout.log("train_qformer", "{translator}"),
    benchmark:
        layout.benchmark("train_qformer", "{translator}")
    wildcard_constraints:
        translator=either(layout.translators_of("train_qformer")),
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/translator", within=config)
    resources:
        mem_mb=more_each_try(16000),
        runtime=more_each_try(480),
        gpu=GPU,
    params:
        code=code("translators.train_qformer"),
        settings=translators.settings,
        out=subpath(output.translator, parent=True),
        threads=lookup(dpath="threads/translator", within=config),
    shell:
        """
        python -m fieldguide.translators.train_qformer \
            --settings {params.settings:q} \
            --pairs {input.pairs:q} \
            --pair-images {input.images:q} \
            --pair-texts {input.texts:q} \
            --threads {params.threads} \
            --out {params.out:q} &>{log:q}
        """


rule fit_translator:
    """Fit a translator to the pairs' pooled features; held-out images choose its hyper-parameters."""
    input:
        pairs=layout.pair_records,
        images=layout.image_features("pairs"),
        texts=layout.text_features("pairs"),
    output:
        translator=layout.translator("{translator}"),
        selection=layout.translator("{translator}", "selection.csv"),
    log:
        layout.log("fit_translator", "{translator}"),
    benchmark:
        layout.benchmark("fit_translator", "{translator}")
    wildcard_constraints:
        translator=either(layout.translators_of("fit_translator")),
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/translator", within=config)
    resources:
        mem_mb=12000,
        runtime=240,
    params:
        code=translators.code_of("translators.fit_translator"),
        settings=translators.settings,
        out=subpath(output.translator, parent=True),
        threads=lookup(dpath="threads/translator", within=config),
    shell:
        """
        python -m fieldguide.translators.fit_translator \
            --settings {params.settings:q} \
            --pairs {input.pairs:q} \
            --pair-images {input.images:q} \
            --pair-texts {input.texts:q} \
            --threads {params.threads} \
            --out {params.out:q} &>{log:q}
        """


rule translate_texts:
    """A source's text features as the image features they would have had."""
    input:
        translator=translators.fitted,
        texts=layout.text_features("{source}"),
        table=layout.texts("{source}"),
    output:
        layout.translated("{translator}", "{source}"),
    log:
        layout.log("translate_texts", "{translator}/{source}"),
    benchmark:
        layout.benchmark("translate_texts", "{translator}/{source}")
    wildcard_constraints:
        translator=either([RAW, *checked.translators]),
        source=either([*checked.texts, *layout.prompts]),
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/translator", within=config)
    resources:
        mem_mb=more_each_try(8000),
        runtime=more_each_try(60),
        gpu=translators.gpu,
    params:
        code=translators.code_of("translators.translate_texts"),
        threads=lookup(dpath="threads/translator", within=config),
    shell:
        """
        python -m fieldguide.translators.translate_texts \
            --translator {input.translator:q} \
            --texts {input.texts:q} \
            --table {input.table:q} \
            --threads {params.threads} \
            --out {output:q} &>{log:q}
        """
