"""Features: images and texts through the frozen backbone, keyed by backbone, weights and preprocessing."""

if features.manifest():

    localrules:
        download_backbone,

    rule download_backbone:
        """Bring the backbone's weights and tokenizer to this disk, so that encoders need no network."""
        output:
            features.manifest(),
        log:
            layout.log("download_backbone"),
        benchmark:
            layout.benchmark("download_backbone")
        conda:
            "../../envs/fieldguide.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=240,
        params:
            settings=features.download_settings,
            cache=subpath(output[0], parent=True),
        shell:
            """
            python -m fieldguide.features.download_backbone \
                --settings {params.settings:q} \
                --cache {params.cache:q} \
                --out {output:q} &>{log:q}
            """


rule encode_images:
    """Image features of the labelled images or of the pairs, one shard of them."""
    input:
        images=features.image_store,
        records=features.image_records,
        backbone=features.manifest(),
    output:
        layout.feature_shard("images/{images}"),
    log:
        layout.log("encode_images", f"{{images}}/{SHARD}"),
    benchmark:
        layout.benchmark("encode_images", f"{{images}}/{SHARD}")
    wildcard_constraints:
        images="dataset|pairs",
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/encode", within=config)
    resources:
        mem_mb=more_each_try(12000),
        runtime=more_each_try(120),
        gpu=GPU,
    params:
        code=code("features.encode_images"),
        settings=features.image_settings,
        cache=features.cache,
        offline=features.offline(),
        threads=lookup(dpath="threads/encode", within=config),
    shell:
        """
        env {params.offline} python -m fieldguide.features.encode_images \
            --settings {params.settings:q} \
            --cache={params.cache:q} \
            --images {input.images:q} \
            --records {input.records:q} \
            --shard {wildcards.shard}/{wildcards.shards} \
            --workers {threads} \
            --threads {params.threads} \
            --out {output:q} &>{log:q}
        """


rule encode_texts:
    """Text features of a source, or of the pairs' captions, one shard of them: pooled and token by token."""
    input:
        texts=features.text_table,
        backbone=features.manifest(),
    output:
        layout.feature_shard("texts/{texts}"),
    log:
        layout.log("encode_texts", f"{{texts}}/{SHARD}"),
    benchmark:
        layout.benchmark("encode_texts", f"{{texts}}/{SHARD}")
    wildcard_constraints:
        texts=either(["pairs", *checked.texts, *layout.prompts]),
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/encode", within=config)
    resources:
        mem_mb=more_each_try(12000),
        runtime=more_each_try(120),
        gpu=GPU,
    params:
        code=code("features.encode_texts"),
        settings=features.text_settings,
        cache=features.cache,
        offline=features.offline(),
        threads=lookup(dpath="threads/encode", within=config),
        column=features.text_column,
    shell:
        """
        env {params.offline} python -m fieldguide.features.encode_texts \
            --settings {params.settings:q} \
            --cache={params.cache:q} \
            --texts {input.texts:q} \
            --column {params.column:q} \
            --shard {wildcards.shard}/{wildcards.shards} \
            --threads {params.threads} \
            --out {output:q} &>{log:q}
        """
