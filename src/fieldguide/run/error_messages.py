"""Snakemake's errors in this project's words: one sentence, without file and line of the workflow's own code.

A run's errors that a user can cause are of two kinds. Those that this project finds reach Snakemake as a
`WorkflowError`, which adds where it was raised; that is taken away. Those that Snakemake finds (a target that nothing
makes, a file that is not there) are said anew, with what the user can do. Any other error stays as it is.

What stands in the way before the Snakefile is read (a configuration file that is not there, or is none) Snakemake shows
with its stack: `explain_command_line` says it, by way of the logger plugin, which Snakemake imports in every run.
"""

from __future__ import annotations

import difflib
import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from snakemake_interface_logger_plugins.common import LogEvent

HEADER = re.compile(r"^\w*(?:Error|Exception)(?: in rule \w+)?(?: in file \".*\", line \d+)?:\n")
FRAMES = re.compile(r"(?:^|\n)  File \".*\", line \d+, in [^\n]*")
NO_RULE = re.compile(r"No rule to produce (.+) \(if you use input functions", re.DOTALL)
MISSING = re.compile(r"Missing input files for rule (\w+):.*affected files:\n(.*)", re.DOTALL)
FUNCTION = re.compile(r"in rule (\w+).*?\nError:\n  (?:\w+: )?(.*?)\nWildcards:", re.DOTALL)
NOT_MADE = re.compile(r"File (.+) marked for report but does not exist")
RESOURCE = re.compile(r"ResourceConstraintError: Resource\(\"(\w+)\", \"?(.*?)\"?\) of type")
FAILED_COMMAND = re.compile(r"RuleException:\nCalledProcessError in file ")
"""Of a job that failed: Snakemake's next record says which, and shows its log with the stage's own sentence."""
WILDCARDS = "Target rules may not contain wildcards"


@dataclass
class Targets:
    """What can be asked for; functions, since most runs have no error and need no list.

    results: the data set's results folder, as the configuration names it. collections: rules that can be named as they
    are (`all`). rules: names of all rules. files: results by path.
    """

    results: str = ""
    collections: Callable[[], Iterable[str]] = tuple
    rules: Callable[[], Iterable[str]] = tuple
    files: Callable[[], Iterable[str]] = tuple

    def describe(self) -> str:
        return f"a target is one of {', '.join(self.collections())}, or a file under {self.results}"

    def explain(self, target: str) -> str:
        """Why nothing makes a target, and what may have been meant."""
        files = list(self.files())
        names = [*self.rules()]
        path = Path(target)
        if path.is_absolute() and path.is_relative_to(Path.cwd()):
            inside = str(path.relative_to(Path.cwd()))
            if inside in files:
                return f"{target}: name it from the working directory, as {inside}"
        is_path = "/" in target or "." in target
        if is_path and path.is_relative_to(Path(self.results).parent) and not path.is_relative_to(self.results):
            return (
                f"{target}: this configuration's results are in {self.results}; name by --configfile the configuration"
                " that makes the other's"
            )
        close = difflib.get_close_matches(target, files if is_path else names, n=1, cutoff=0.8 if is_path else 0.6)
        if close:
            return f"{target}: no rule makes it; did you mean {close[0]}?"
        return f"{target}: no rule makes it; {self.describe()}"


def strip_origin(message: str) -> str:
    """The message without the error's class, the workflow's file and line before it, and stack frames after it."""
    return FRAMES.sub("", HEADER.sub("", message)).strip()


def explain_error(message: str, exception: str, targets: Targets) -> str:
    """An error of Snakemake's log in this project's words; as it is if it is of no kind that is known here.

    message: as Snakemake formats it. exception: the name of its class.
    """
    if exception == "MissingRuleException" and (found := NO_RULE.search(message)):
        return targets.explain(found[1])
    if exception == "MissingInputException" and (found := MISSING.search(message)):
        files = [line.strip() for line in found[2].splitlines() if line.strip()]
        more = f" (and {len(files) - 1} more)" if len(files) > 1 else ""
        return f"{files[0]}: there is no such file{more}, and no rule that makes it; {found[1]} needs it"
    if exception in ("InputFunctionException", "ResourceError") and (found := FUNCTION.search(message)):
        return f"{found[1]}: {' '.join(found[2].split())}"
    if found := NOT_MADE.search(message):
        return f"{found[1]}: not made yet; run the workflow first, then ask for its report"
    if found := RESOURCE.search(message):
        what = "threads" if found[1] == "_cores" else found[1]
        return f"{what}: should be a number, not '{found[2]}'; correct --set-threads or --set-resources"
    if exception == "WorkflowError":
        if WILDCARDS in message:
            return f"a rule that makes many files cannot be a target; {targets.describe()}"
        return strip_origin(message)
    return message


def explain_command_line(error: BaseException | None) -> str:
    """What is wrong with the command line or the files that it names; empty for an error of any other kind."""
    if (
        isinstance(error, ValueError)
        and "name=value" in str(error)
        and (entry := re.search(r"value: (.+)\)$", str(error)))
    ):
        return f"--config: takes KEY=VALUE, not {entry[1]}; whatever has sections is better put into a --configfile"
    frames = traceback.walk_tb(error.__traceback__) if error else ()
    files = [frame.f_locals.get("configpath") for frame, _ in frames if frame.f_code.co_name == "load_configfile"]
    if not files:
        return ""
    if isinstance(error, OSError):
        return f"{files[0]}: {error.strerror}; --configfile takes the configuration files that are to be read"
    if isinstance(error, UnicodeDecodeError):
        return f"{files[0]}: is not UTF-8; save it as UTF-8, as by: iconv --from-code windows-1252 --to-code utf-8"
    if "top level" in str(error):
        return f"{files[0]}: has no keys and values; config/README.md says which there are"
    if "not valid" in str(error):
        cause: BaseException | None = error
        while cause and not getattr(cause, "problem_mark", None):  # PyYAML's
            cause = cause.__context__
        place = f", line {mark.line + 1}" if (mark := getattr(cause, "problem_mark", None)) else ""
        what = getattr(cause, "problem", None) or "it cannot be read"
        return f"{files[0]}{place}: is not YAML ({what}); correct it, and indent by spaces, not by tabs"
    return ""


class CommandLineFilter(logging.Filter):
    """Rewrites what Snakemake logs of its command line, before the Snakefile is read."""

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "event", None) == LogEvent.ERROR and (text := explain_command_line(sys.exc_info()[1])):
            record.msg, record.args = f"Error: {text}", ()
        return True


@dataclass
class ErrorFilter(logging.Filter):
    """Rewrites the errors of Snakemake's log as they pass."""

    targets: Targets = field(default_factory=Targets)
    name: str = ""

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "event", None) == LogEvent.ERROR:
            if FAILED_COMMAND.match(record.getMessage()):
                return False
            text = explain_error(record.getMessage(), getattr(record, "exception", "") or "", self.targets)
            if text != record.getMessage():
                record.msg, record.args = f"Error: {text}", ()
        return True


def explain_errors(logger: logging.Logger) -> ErrorFilter:
    """Have a logger's errors explained from now on; the answer is told later what can be asked for."""
    found = ErrorFilter()
    logger.addFilter(found)
    return found
