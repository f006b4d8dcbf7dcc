"""Snakemake's errors, as its own formatter writes them, in this project's words."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from snakemake.exceptions import MissingRuleException, WorkflowError, print_exception
from snakemake_interface_logger_plugins.common import LogEvent

from fieldguide.run.error_messages import (
    ErrorFilter,
    Targets,
    explain_command_line,
    explain_error,
    explain_errors,
    strip_origin,
)

TARGETS = Targets(
    results="results/tiny",
    collections=lambda: ["all", "everything"],
    rules=lambda: ["all", "everything", "train_adapter"],
    files=lambda: ["results/tiny/tables/accuracy.csv", "results/tiny/adapters/thesis/ratio-50.json"],
)
ENDING = "a target is one of all, everything, or a file under results/tiny"


def said(raised: Exception, targets: Targets = TARGETS) -> str:
    """What the log shows of an exception that Snakemake prints."""
    from snakemake.logging import logger

    shown: list[str] = []

    class Reader(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shown.append(record.getMessage())

    reader, errors = Reader(level=logging.ERROR), explain_errors(logger)
    errors.targets = targets
    logger.addHandler(reader)
    try:
        print_exception(raised)
    finally:
        logger.removeHandler(reader)
        logger.removeFilter(errors)
    (line,) = shown
    return line


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("evrything", "evrything: no rule makes it; did you mean everything?"),
        ("train_adaptr", "train_adaptr: no rule makes it; did you mean train_adapter?"),
        ("xyz", f"xyz: no rule makes it; {ENDING}"),
        (
            "results/tiny/tables/acuracy.csv",
            "results/tiny/tables/acuracy.csv: no rule makes it; did you mean results/tiny/tables/accuracy.csv?",
        ),
        ("results/tiny/tables", f"results/tiny/tables: no rule makes it; {ENDING}"),
        (
            "results/other/tables/accuracy.csv",
            "results/other/tables/accuracy.csv: this configuration's results are in results/tiny; name by --configfile"
            " the configuration that makes the other's",
        ),
    ],
)
def test_a_target_that_nothing_makes(target: str, words: str):
    assert said(MissingRuleException(target)) == f"Error: {words}"


def test_an_absolute_target_of_the_working_directory():
    path = Path.cwd() / "results/tiny/tables/accuracy.csv"
    assert said(MissingRuleException(str(path))).endswith(
        "name it from the working directory, as results/tiny/tables/accuracy.csv"
    )


def test_our_own_sentence_comes_without_the_code_that_raised_it():
    def guarded_execute() -> None:
        raise WorkflowError("config: swep: unknown key; see config/README.md")

    with pytest.raises(WorkflowError) as raised:
        guarded_execute()
    assert said(raised.value) == "Error: config: swep: unknown key; see config/README.md"


def test_a_sentence_of_several_lines_keeps_them():
    text = 'WorkflowError in file "/a b/x.smk", line 50:\nfirst\n  second\n  File "/a b/x.smk", line 50, in <module>'
    assert strip_origin(text) == "first\n  second"


def test_a_file_that_is_not_there():
    text = (
        'MissingInputException in rule generate_texts in file "/x/texts.smk", line 41:\n'
        "Missing input files for rule generate_texts:\n    output: o.csv\n    wildcards: source=llm\n"
        "    affected files:\n        nothere.txt\n        other.txt"
    )
    expected = "nothere.txt: there is no such file (and 1 more), and no rule that makes it; generate_texts needs it"
    assert explain_error(text, "MissingInputException", TARGETS) == expected


def test_a_resource_that_is_no_number():
    text = (
        'InputFunctionException in rule train_adapter in file "/x/adapters.smk", line 71:\nError:\n'
        "  ResourceConversionError: Resource 'mem_mb' returned 'abc'. \nWildcards:\n  ratio=0\nTraceback:\n (rule"
    )
    expected = "train_adapter: Resource 'mem_mb' returned 'abc'."
    assert explain_error(text, "InputFunctionException", TARGETS) == expected


def test_an_error_of_no_known_kind_stays_as_it_is():
    text = 'Traceback (most recent call last):\n  File "/x.py", line 1, in f\nKeyError: 3'
    assert explain_error(text, "KeyError", TARGETS) == text
    record = logging.LogRecord("x", logging.ERROR, "", 0, text, (), None)
    record.event = LogEvent.JOB_ERROR
    assert explain_errors(logging.Logger("x")).filter(record) and record.getMessage() == text


def test_the_command_that_failed_is_not_shown_beside_the_stage_s_own_sentence():
    record = logging.makeLogRecord(
        {
            "msg": "RuleException:\nCalledProcessError in file \"tables.smk\", line 89:\nCommand 'python …' returned …",
            "event": LogEvent.ERROR,
            "exception": "RuleException",
        }
    )
    assert not ErrorFilter(TARGETS).filter(record)
    record.msg = 'RuleException:\nValueError in file "tables.smk", line 89:\nno'
    assert ErrorFilter(TARGETS).filter(record)


def test_errors_that_are_not_of_a_configuration_file_are_left_alone():
    assert explain_command_line(None) == ""
    assert explain_command_line(ValueError("no")) == ""
    try:
        Path("/no/such/file").read_text()
    except OSError as error:
        assert explain_command_line(error) == ""
