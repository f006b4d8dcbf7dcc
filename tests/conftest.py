"""What all tests share: one numeric thread each, and hypothesis' profile."""

from __future__ import annotations

import os

from hypothesis import settings

# Tests run side by side, so each keeps to one numeric thread. This has to be set before torch or numpy is imported.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# The same examples in every run, and no deadline: a busy machine is no failure.
settings.register_profile("fieldguide", deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fieldguide"))
