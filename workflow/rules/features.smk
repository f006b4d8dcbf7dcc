"""Features: images and texts through the frozen backbone, keyed by backbone, weights and preprocessing."""

if get_manifest():

    localrules:
        download_backbone,

    rule download_backbone:
        """Bring the backbone's weights and tokenizer to this disk, so that encoders need no network."""
        input:
            # Weights are the same whatever code fetched them; features would be made anew.
            code=ancient(get_code("features.download_backbone")),
        output:
            get_manifest(),
        log:
            f"{RESULTS}/logs/download_backbone/all.log",
        benchmark:
            f"{RESULTS}/benchmarks/download_backbone/all.tsv"
        conda:
            "../../envs/fieldguide.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=240,
        params:
            pretrained=lookup(dpath="backbone/pretrained", within=config),
            precision=lookup(dpath="backbone/precision", within=config),
            cache=subpath(output[0], parent=True),
            sha256=lookup(dpath="backbone/sha256", within=config),
            model=get_backbone_model(),
        shell:
            """
            python -m fieldguide.features.download_backbone \
                --model {params.model:q} \
                --pretrained={params.pretrained:q} \
                --precision {params.precision} \
                --cache {params.cache:q} \
                --sha256={params.sha256:q} \
                --out {output:q} &>{log:q}
            """


rule encode_images:
    """Image features of the target (labelled images) or of the world (pairs), one shard of them."""
    input:
        images=get_image_store,
        records=get_image_records,
        backbone=get_manifest(),
        code=get_code("features.encode_images"),
    output:
        f"{RESULTS}/features/{BACKBONE}/images/{{images}}/{SHARD}.safetensors",
    log:
        f"{RESULTS}/logs/encode_images/{{images}}/{SHARD}.log",
    benchmark:
        f"{RESULTS}/benchmarks/encode_images/{{images}}/{SHARD}.tsv"
    wildcard_constraints:
        images="target|world",
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/encode", within=config)
    resources:
        mem_mb=get_more_each_try(12000),
        runtime=get_more_each_try(120),
        gpu=GPU,
    params:
        pretrained=lookup(dpath="backbone/pretrained", within=config),
        precision=lookup(dpath="backbone/precision", within=config),
        batch=lookup(dpath="backbone/image_batch", within=config),
        model=get_backbone_model(),
        cache=get_cache,
        offline=get_offline(),
        threads=lookup(dpath="threads/encode", within=config),
    shell:
        """
        env {params.offline} python -m fieldguide.features.encode_images \
            --model {params.model:q} \
            --pretrained={params.pretrained:q} \
            --precision {params.precision} \
            --cache={params.cache:q} \
            --images {input.images:q} \
            --records {input.records:q} \
            --shard {wildcards.shard}/{wildcards.shards} \
            --batch {params.batch} \
            --workers {threads} \
            --threads {params.threads} \
            --out {output:q} &>{log:q}
        """


rule encode_texts:
    """Text features of a source, or of the world's captions, one shard of them: pooled and token by token."""
    input:
        texts=get_text_table,
        backbone=get_manifest(),
        code=get_code("features.encode_texts"),
    output:
        f"{RESULTS}/features/{BACKBONE}/texts/{{texts}}/{SHARD}.safetensors",
    log:
        f"{RESULTS}/logs/encode_texts/{{texts}}/{SHARD}.log",
    benchmark:
        f"{RESULTS}/benchmarks/encode_texts/{{texts}}/{SHARD}.tsv"
    wildcard_constraints:
        texts="|".join(["world", *checked.texts, *PROMPTS]),
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/encode", within=config)
    resources:
        mem_mb=get_more_each_try(12000),
        runtime=get_more_each_try(120),
        gpu=GPU,
    params:
        pretrained=lookup(dpath="backbone/pretrained", within=config),
        precision=lookup(dpath="backbone/precision", within=config),
        batch=lookup(dpath="backbone/text_batch", within=config),
        model=get_backbone_model(),
        cache=get_cache,
        offline=get_offline(),
        threads=lookup(dpath="threads/encode", within=config),
        column=lambda wildcards: "caption" if wildcards.texts == "world" else "text",
    shell:
        """
        env {params.offline} python -m fieldguide.features.encode_texts \
            --model {params.model:q} \
            --pretrained={params.pretrained:q} \
            --precision {params.precision} \
            --cache={params.cache:q} \
            --texts {input.texts:q} \
            --column {params.column} \
            --shard {wildcards.shard}/{wildcards.shards} \
            --batch {params.batch} \
            --threads {params.threads} \
            --out {output:q} &>{log:q}
        """
