"""The `fieldguide` command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fieldguide import __version__, cli


def test_help_lists_every_stage_and_the_targets(capsys):
    cli.main(["--help"])
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in cli.find_stages())
    assert "make demo" in told
    assert "snakemake --cores all" in told
    assert max(map(len, told.splitlines())) <= 120


def test_help_groups_stages_by_package_in_the_order_of_the_data(capsys):
    cli.main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    heads = [line.partition(":")[0] for line in lines if line.partition(":")[0] in {*cli.PACKAGES, "workflow"}]
    assert heads[:6] == ["data", "aviary", "features", "texts", "translators", "adapters"]
    inside = {line.split()[0]: head for head, block in blocks(lines) for line in block if line.startswith("  ")}
    assert {name: inside[name] for name in ("encode_images", "train_adapter", "train_qformer", "demo")} == {
        "encode_images": "features",
        "train_adapter": "adapters",
        "train_qformer": "translators",
        "demo": "run",
    }


def blocks(lines):
    """Paragraphs, each by the first word of its first line."""
    found = "\n".join(lines).split("\n\n")
    return [(block.partition(":")[0], block.splitlines()[1:]) for block in found if block]


def test_help_imports_no_stage():
    code = "import sys; from fieldguide import cli; cli.main(['--help']); print(*sys.modules, file=sys.stderr)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(answer.stderr.split()) & {"torch", "numpy", "snakemake", "fieldguide.core.stage"} == set()


def test_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"fieldguide {__version__}\n"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_a_pipe_that_is_closed_is_no_error(option):
    command = [sys.executable, "-c", f"from fieldguide import cli; cli.main([{option!r}])"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()  # long before Python has started
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.mark.parametrize("name", ["print_table", "print-table"])
def test_a_stage_gets_its_arguments(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    assert "--csv" in capsys.readouterr().out


def test_a_stage_shows_the_usage_that_was_typed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/fieldguide"])
    with pytest.raises(SystemExit):
        cli.main(["classify", "--help"])
    assert capsys.readouterr().out.startswith("usage: fieldguide classify ")


def test_a_misspelt_stage_is_told_with_the_closest_one(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["print_tabel"])
    assert stop.value.code == 2
    assert "did you mean print_table?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("doc", "sentence"),
    [
        ("Read it.", "Read it"),
        ("Read Reed et al. and COCO. Then\nmore.\n\nAnd more.", "Read Reed et al. and COCO"),
        ("Reads\nCUB-200-2011 v1.1 too", "Reads CUB-200-2011 v1.1 too"),
        (None, ""),
    ],
)
def test_first_sentence(doc, sentence):
    assert cli.first_sentence(doc) == sentence
