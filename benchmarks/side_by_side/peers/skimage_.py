"""scikit-image: TV denoising, the Radon transform."""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage.restoration import denoise_tv_bregman, denoise_tv_chambolle
from skimage.transform import iradon, radon

from side_by_side.harness import Counted, Pair


def chambolle(case: Any) -> Counted:
    return Counted(lambda n: denoise_tv_chambolle(case.y, weight=case.lam, eps=0.0, max_num_iter=n))


def bregman(case: Any) -> Counted:
    """½‖x − y‖² + λ TV is its 'weight' 1/λ up to its own factor 2 in the data term, compiled, one thread."""
    return Counted(lambda n: denoise_tv_bregman(case.y, weight=1 / case.lam, eps=0.0, max_num_iter=n))


def projector(geometry: Any, shape: tuple[int, ...]) -> Pair:
    """`radon` and unfiltered `iradon` (not its transpose): as many bins as the image has columns."""
    if type(geometry).__name__ != "ParallelBeam":
        raise ValueError("parallel beam only")
    degrees = np.rad2deg(geometry.angles)

    def forward(x: Any) -> Any:
        return radon(x, theta=degrees, circle=True) if x.ndim == 2 else np.stack([forward(s) for s in x])

    def adjoint(y: Any) -> Any:
        if y.ndim == 3:
            return np.stack([adjoint(s) for s in y])
        return iradon(y, theta=degrees, filter_name=None, circle=True)

    bins = slice((geometry.detectors - shape[-1]) // 2, (geometry.detectors - shape[-1]) // 2 + shape[-1])
    return Pair(forward, adjoint, sinogram=lambda y: np.ascontiguousarray(np.swapaxes(y[..., bins], -1, -2)))
