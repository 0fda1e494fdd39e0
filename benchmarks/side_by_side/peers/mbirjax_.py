"""mbirjax: its own compiled projector pair on the CPU."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import mbirjax
import numpy as np

from side_by_side.harness import Pair


def projector(geometry: Any, shape: tuple[int, ...]) -> Pair:
    """Its images are (rows, columns, slices), its sinograms (views, slices, bins); it takes and gives NumPy arrays."""
    if type(geometry).__name__ != "ParallelBeam":
        raise ValueError("parallel beam only here")
    slices = shape[0] if len(shape) == 3 else 1
    model = mbirjax.ParallelBeamModel((len(geometry.angles), slices, geometry.detectors), jnp.asarray(geometry.angles))
    model.set_params(recon_shape=(*shape[-2:], slices), no_warning=True, verbose=0, use_ror_mask=False)
    return Pair(
        lambda x: np.asarray(model.forward_project(x)),
        lambda y: np.asarray(model.back_project(y)),
        lambda x: np.ascontiguousarray(np.moveaxis(x.reshape(-1, *shape[-2:]), 0, -1)),
        lambda y: np.ascontiguousarray(np.moveaxis(y.reshape(-1, *y.shape[-2:]), 0, 1)),
        lambda y: np.squeeze(np.moveaxis(y, 1, 0)),
    )
