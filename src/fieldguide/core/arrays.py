"""The types of arrays that all packages share. For type checkers: a stage sets its threads before it imports numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]
    Ints = NDArray[np.int64]
else:
    Floats = Doubles = Ints = Any
