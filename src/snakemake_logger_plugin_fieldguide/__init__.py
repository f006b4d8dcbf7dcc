"""`snakemake --logger fieldguide`: plugins are found by their package's name; see `fieldguide.run.logger`."""

import logging

# Snakemake makes options of the fields' types, so annotations must not be left as text here.
from dataclasses import dataclass, field

from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from fieldguide.run.error_messages import CommandLineFilter
from fieldguide.run.logger import LogHandler

__all__ = ["LogHandler", "LogHandlerSettings"]

# Here, since nothing else of this project is loaded when Snakemake finds that a --configfile is not there.
logging.getLogger("snakemake.logging").addFilter(CommandLineFilter())


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """`--logger-fieldguide-…`."""

    compact: bool = field(
        default=False,
        metadata={"help": "print a line for each job and what goes wrong, in place of all that Snakemake says"},
    )
