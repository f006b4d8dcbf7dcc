"""fieldguide: how far can text stand in for labelled photographs when training a fine-grained image classifier?

In a notebook `fieldguide.load_results("results/aviary")` gives a run's results as pandas frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fieldguide.tables.load import load_results as load_results

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Looked up when it is asked for, since a command that has no use for pandas is not to wait for it.
    if name == "load_results":
        from fieldguide.tables.load import load_results

        return load_results
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
