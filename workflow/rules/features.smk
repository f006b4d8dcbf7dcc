"""Features: images and texts through the frozen backbone, keyed by backbone, weights and preprocessing."""


rule encode_images:
    """Image features of the target (labelled images) or of the world (pairs)."""
    input:
        images=get_image_store,
        records=get_image_records,
        code=get_code("encode_images"),
    output:
        f"{RESULTS}/features/{BACKBONE}/images/{{images}}.safetensors",
    log:
        f"{RESULTS}/logs/encode_images/{{images}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/encode_images/{{images}}.tsv"
    wildcard_constraints:
        images="target|world",
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/encode", within=config)
    resources:
        mem_mb=8000,
        runtime=720,
        gpu=GPU,
    params:
        pretrained=lookup(dpath="backbone/pretrained", within=config),
        precision=lookup(dpath="backbone/precision", within=config),
        batch=lookup(dpath="backbone/image_batch", within=config),
        model=get_backbone_model(),
        threads=lookup(dpath="threads/encode", within=config),
    shell:
        """
        python -m fieldguide.encode_images \
            --model {params.model:q} \
            --pretrained={params.pretrained:q} \
            --precision {params.precision} \
            --images {input.images:q} \
            --records {input.records:q} \
            --batch {params.batch} \
            --workers {threads} \
            --threads {params.threads} \
            --out {output:q} &>{log:q}
        """


rule encode_texts:
    """Text features of a source, or of the world's captions: pooled and token by token."""
    input:
        texts=get_text_table,
        code=get_code("encode_texts"),
    output:
        f"{RESULTS}/features/{BACKBONE}/texts/{{texts}}.safetensors",
    log:
        f"{RESULTS}/logs/encode_texts/{{texts}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/encode_texts/{{texts}}.tsv"
    wildcard_constraints:
        texts="|".join(["world", NAMES, *checked.texts, *(f"{source}{WITH_NAMES}" for source in checked.texts)]),
    conda:
        "../../envs/fieldguide.yaml"
    threads: lookup(dpath="threads/encode", within=config)
    resources:
        mem_mb=16000,
        runtime=720,
        gpu=GPU,
    params:
        pretrained=lookup(dpath="backbone/pretrained", within=config),
        precision=lookup(dpath="backbone/precision", within=config),
        batch=lookup(dpath="backbone/text_batch", within=config),
        model=get_backbone_model(),
        threads=lookup(dpath="threads/encode", within=config),
        column=lambda wildcards: "caption" if wildcards.texts == "world" else "text",
    shell:
        """
        python -m fieldguide.encode_texts \
            --model {params.model:q} \
            --pretrained={params.pretrained:q} \
            --precision {params.precision} \
            --texts {input.texts:q} \
            --column {params.column} \
            --batch {params.batch} \
            --threads {params.threads} \
            --out {output:q} &>{log:q}
        """
