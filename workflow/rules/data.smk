"""From raw archives to records: tables of images, classes, splits and pairs."""

if IS_AVIARY:

    rule render_aviary:
        """Render the aviary: the four archives in the layouts of the real ones."""
        input:
            code=get_code("aviary.render_aviary"),
        output:
            cub=f"{RESULTS}/raw/CUB_200_2011.tgz",
            reed=f"{RESULTS}/raw/reed_text_c10.tgz",
            coco_images=f"{RESULTS}/raw/train2017.zip",
            coco_annotations=f"{RESULTS}/raw/annotations_trainval2017.zip",
            truth=f"{RESULTS}/raw/truth.json",
        log:
            f"{RESULTS}/logs/render_aviary/all.log",
        benchmark:
            f"{RESULTS}/benchmarks/render_aviary/all.tsv"
        conda:
            "../../envs/fieldguide.yaml"
        threads: 2
        resources:
            mem_mb=get_more_each_try(2000),
            runtime=get_more_each_try(30),
        params:
            aviary=lookup(dpath="aviary", within=config),
            out=subpath(output.cub, parent=True),
        shell:
            """
            python -m fieldguide.aviary.render_aviary \
                --seed {params.aviary[seed]} \
                --species {params.aviary[species]} \
                --train-per-class {params.aviary[train_per_class]} \
                --test-per-class {params.aviary[test_per_class]} \
                --world-images {params.aviary[world_images]} \
                --captions-per-world-image {params.aviary[captions_per_world_image]} \
                --bird-share {params.aviary[bird_share]} \
                --workers {threads} \
                --out {params.out:q} &>{log:q}
            """

else:

    for archive, settings in get_missing_archives().items():

        rule:
            """Bring a raw archive to its configured place."""
            name:
                f"download_{archive}"
            input:
                code=get_code("data.download_archive"),
            output:
                settings["path"],
            log:
                f"{RESULTS}/logs/download_{archive}/all.log",
            benchmark:
                f"{RESULTS}/benchmarks/download_{archive}/all.tsv"
            localrule: True
            conda:
                "../../envs/fieldguide.yaml"
            threads: 1
            resources:
                mem_mb=500,
                runtime=1440,
            params:
                archive=settings,
            shell:
                """
                python -m fieldguide.data.download_archive \
                    --out {output:q} \
                    --urls {params.archive[urls]:q} \
                    --md5={params.archive[md5]:q} \
                    --sha256={params.archive[sha256]:q} \
                    --by-hand={params.archive[by_hand]:q} &>{log:q}
                """


rule unpack_archive:
    """Unpack the CUB or the Reed archive."""
    input:
        archive=get_archive,
        code=get_code("data.unpack_archive"),
    output:
        directory(f"{RESULTS}/unpacked/{{archive}}"),
    log:
        f"{RESULTS}/logs/unpack_archive/{{archive}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/unpack_archive/{{archive}}.tsv"
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=get_more_each_try(1000),
        runtime=get_more_each_try(60),
    params:
        folder=lambda wildcards: {"cub": "CUB_200_2011", "reed": "text_c10"}[wildcards.archive],
        max_gb=lookup(dpath="data/{archive}/max_gb", within=config),
        max_files=lookup(dpath="data/{archive}/max_files", within=config),
    shell:
        """
        python -m fieldguide.data.unpack_archive \
            --archive {input.archive:q} \
            --folder {params.folder:q} \
            --max-gb {params.max_gb} \
            --max-files {params.max_files} \
            --out {output:q} &>{log:q}
        """


rule index_images:
    """List the target's images with class and split; every image must open."""
    input:
        root=f"{RESULTS}/unpacked/cub",
        code=get_code("data.index_images"),
    output:
        # Beside it images.damaged.csv, which is not declared, as Snakemake deletes the outputs of a job that fails.
        images=f"{RESULTS}/records/images.csv",
        classes=f"{RESULTS}/records/classes.csv",
    log:
        f"{RESULTS}/logs/index_images/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/index_images/all.tsv"
    priority: 1  # encoders wait for it
    conda:
        "../../envs/fieldguide.yaml"
    threads: 2
    resources:
        mem_mb=get_more_each_try(2000),
        runtime=get_more_each_try(60),
    params:
        leave_out=lookup(dpath="dataset/leave_out", within=config),
        skip=branch(checked.dataset.skip_damaged, then="--skip-damaged"),
    shell:
        """
        python -m fieldguide.data.index_images \
            --root {input.root:q} \
            --workers {threads} \
            --leave-out {params.leave_out:q} \
            {params.skip} \
            --images-out {output.images:q} \
            --classes-out {output.classes:q} &>{log:q}
        """


rule index_pairs:
    """List the world's image/caption pairs; every image must open."""
    input:
        images=get_world_images,
        annotations=get_world_annotations,
        code=get_code("data.index_pairs"),
    output:
        # Beside it pairs.damaged.csv, as above.
        f"{RESULTS}/records/pairs.csv",
    log:
        f"{RESULTS}/logs/index_pairs/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/index_pairs/all.tsv"
    priority: 1  # encoders wait for it
    conda:
        "../../envs/fieldguide.yaml"
    threads: 2
    resources:
        mem_mb=get_more_each_try(2000),
        runtime=get_more_each_try(240),
    params:
        world=lookup(dpath="world", within=config),
        skip=branch(checked.world.skip_damaged, then="--skip-damaged"),
        images_gb=lookup(dpath="data/coco_images/max_gb", within=config),
        images_files=lookup(dpath="data/coco_images/max_files", within=config),
        annotations_gb=lookup(dpath="data/coco_annotations/max_gb", within=config),
        annotations_files=lookup(dpath="data/coco_annotations/max_files", within=config),
    shell:
        """
        python -m fieldguide.data.index_pairs \
            --images {input.images:q} \
            --annotations {input.annotations:q} \
            --split {params.world[split]:q} \
            --limit {params.world[images]} \
            --seed {params.world[seed]} \
            --check {params.world[check]} \
            --leave-out {params.world[leave_out]:q} \
            {params.skip} \
            --max-gb {params.images_gb} \
            --max-files {params.images_files} \
            --annotations-max-gb {params.annotations_gb} \
            --annotations-max-files {params.annotations_files} \
            --workers {threads} \
            --out {output:q} &>{log:q}
        """


if checked.dataset.kind not in ("cub", "aviary"):

    # A kind of data set with rules of its own, which go before those above.
    include: f"dataset_{checked.dataset.kind}.smk"
