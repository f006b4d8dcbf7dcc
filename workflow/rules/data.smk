"""From raw archives to records: tables of images, classes, splits and pairs."""

if layout.is_aviary:

    rule render_aviary:
        """Render the aviary: the four archives in the layouts of the real ones."""
        output:
            cub=layout.raw("CUB_200_2011.tgz"),
            reed=layout.raw("reed_text_c10.tgz"),
            coco_images=layout.raw("train2017.zip"),
            coco_annotations=layout.raw("annotations_trainval2017.zip"),
            truth=layout.raw("truth.json"),
        log:
            layout.log("render_aviary"),
        benchmark:
            layout.benchmark("render_aviary")
        conda:
            "../../envs/fieldguide.yaml"
        threads: 2
        resources:
            mem_mb=more_each_try(2000),
            runtime=more_each_try(30),
        params:
            code=code("aviary.render_aviary"),
            settings=data.aviary_settings,
            out=subpath(output.cub, parent=True),
        shell:
            """
            python -m fieldguide.aviary.render_aviary \
                --settings {params.settings:q} \
                --workers {threads} \
                --out {params.out:q} &>{log:q}
            """

else:

    for archive, key in data.missing_archives().items():

        rule:
            """Bring a raw archive to its configured place."""
            name:
                f"download_{archive}"
            output:
                data.download_path(key),
            log:
                layout.log(f"download_{archive}"),
            benchmark:
                layout.benchmark(f"download_{archive}")
            localrule: True
            conda:
                "../../envs/fieldguide.yaml"
            threads: 1
            resources:
                mem_mb=500,
                runtime=1440,
            params:
                code=code("data.download_archive"),
                settings=data.download_settings(key),
            shell:
                """
                python -m fieldguide.data.download_archive \
                    --settings {params.settings:q} \
                    --out {output:q} &>{log:q}
                """


rule unpack_archive:
    """Unpack the CUB or the Reed archive."""
    input:
        archive=data.archive,
    output:
        directory(layout.unpacked("{archive}")),
    log:
        layout.log("unpack_archive", "{archive}"),
    benchmark:
        layout.benchmark("unpack_archive", "{archive}")
    conda:
        "../../envs/fieldguide.yaml"
    threads: 1
    resources:
        mem_mb=more_each_try(1000),
        runtime=more_each_try(60),
    params:
        code=code("data.unpack_archive"),
        folder=lambda wildcards: {"cub": "CUB_200_2011", "reed": "text_c10"}[wildcards.archive],
        settings=data.unpack_settings,
    shell:
        """
        python -m fieldguide.data.unpack_archive \
            --archive {input.archive:q} \
            --folder {params.folder:q} \
            --settings {params.settings:q} \
            --out {output:q} &>{log:q}
        """


rule index_images:
    """List the labelled images with class and split; every image must open."""
    input:
        root=layout.unpacked("cub"),
    output:
        # Beside it images.damaged.csv, which is not declared, as Snakemake deletes the outputs of a job that fails.
        images=layout.image_records,
        classes=layout.class_records,
    log:
        layout.log("index_images"),
    benchmark:
        layout.benchmark("index_images")
    priority: 1  # encoders wait for it
    conda:
        "../../envs/fieldguide.yaml"
    threads: 2
    resources:
        mem_mb=more_each_try(2000),
        runtime=more_each_try(60),
    params:
        code=code("data.index_images"),
        settings=data.image_settings,
    shell:
        """
        python -m fieldguide.data.index_images \
            --root {input.root:q} \
            --workers {threads} \
            --settings {params.settings:q} \
            --images-out {output.images:q} \
            --classes-out {output.classes:q} &>{log:q}
        """


rule index_pairs:
    """List the image/caption pairs; every image must open."""
    input:
        images=data.pair_images,
        annotations=data.pair_annotations,
    output:
        # Beside it pairs.damaged.csv, as above.
        layout.pair_records,
    log:
        layout.log("index_pairs"),
    benchmark:
        layout.benchmark("index_pairs")
    priority: 1  # encoders wait for it
    conda:
        "../../envs/fieldguide.yaml"
    threads: 2
    resources:
        mem_mb=more_each_try(2000),
        runtime=more_each_try(240),
    params:
        code=code("data.index_pairs"),
        settings=data.pair_settings,
    shell:
        """
        python -m fieldguide.data.index_pairs \
            --images {input.images:q} \
            --annotations {input.annotations:q} \
            --settings {params.settings:q} \
            --workers {threads} \
            --out {output:q} &>{log:q}
        """


if checked.dataset.kind not in ("cub", "aviary"):

    # A kind of data set with rules of its own, which go before those above.
    include: f"dataset_{checked.dataset.kind}.smk"
