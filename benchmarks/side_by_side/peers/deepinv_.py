"""deepinv on the CPU: its TV denoiser (Condat's over-relaxed primal–dual method) with the steps it comes with."""

from __future__ import annotations

from typing import Any

import deepinv
import torch

from side_by_side.harness import Counted


def denoising(case: Any) -> Counted:
    y = torch.from_numpy(case.y)[None, None]

    def work(n: int) -> Any:
        model = deepinv.models.TVDenoiser(n_it_max=n, crit=0.0)
        with torch.no_grad():
            return model(y, case.lam).numpy()[0, 0]

    return Counted(work)
