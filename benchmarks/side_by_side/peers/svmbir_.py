"""svmbir: its projector multiplies by a stored sparse matrix, made before the time counts."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import svmbir

from side_by_side.harness import Pair


def projector(geometry: Any, shape: tuple[int, ...]) -> Pair:
    if type(geometry).__name__ != "ParallelBeam":
        raise ValueError("parallel beam only here")
    folder = tempfile.mkdtemp(prefix="svmbir")
    angles, bins = np.asarray(geometry.angles), geometry.detectors
    common: dict[str, Any] = {"roi_radius": 2.0 * shape[-1], "verbose": 0, "svmbir_lib_path": folder}

    size = {"num_rows": shape[-1], "num_cols": shape[-2]}
    return Pair(
        lambda x: svmbir.project(x, angles, bins, **common),
        lambda y: svmbir.backproject(y, angles, **size, **common),
        lambda x: np.ascontiguousarray(np.swapaxes(x.reshape(-1, *shape[-2:]), 1, 2)),  # its axes are (x, y)
        lambda y: np.ascontiguousarray(np.swapaxes(y.reshape(-1, *y.shape[-2:]), 0, 1)),
        lambda y: np.squeeze(np.swapaxes(y, 0, 1)),
    )
