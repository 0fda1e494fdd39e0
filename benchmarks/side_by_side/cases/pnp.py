"""Plug-and-play: what an iteration costs beside the network's own time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import varinv as vi
from side_by_side.harness import Row, Run, reason


class Clocked:
    """A denoiser and the seconds spent in it."""

    def __init__(self, denoiser: Any) -> None:
        self.denoiser, self.spent = denoiser, 0.0

    def __call__(self, x: Any, sigma: Any) -> Any:
        began = time.perf_counter()
        result = self.denoiser(x, sigma)
        self.spent += time.perf_counter() - began
        return result


def network(width: int = 32, depth: int = 8) -> Any:
    """A small residual convolutional network of DnCNN's form; its weights do not matter for time."""
    import torch

    torch.manual_seed(0)
    layers: list[Any] = [torch.nn.Conv2d(1, width, 3, padding=1), torch.nn.ReLU()]
    for _ in range(depth - 2):
        layers += [torch.nn.Conv2d(width, width, 3, padding=1), torch.nn.ReLU()]
    layers.append(torch.nn.Conv2d(width, 1, 3, padding=1))
    body = torch.nn.Sequential(*layers)

    class Residual(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x - 0.01 * body(x)

    return vi.from_torch(Residual().eval(), sigma="none")


def rows(run: Run) -> Iterator[Row]:
    n = run.size or 256
    case = f"plug-and-play {n}², blur, eight convolutions of 32 channels on the CPU, float32"
    try:
        denoiser = Clocked(network())
    except ImportError as error:
        yield Row(case, "", None, "torch", note=reason(error))
        return
    rng = np.random.default_rng(0)
    B = vi.Blur((n, n), np.full((5, 5), 0.04, np.float32))
    y = (B(rng.random((n, n), dtype=np.float32)) + 0.01 * rng.standard_normal((n, n))).astype(np.float32)
    problem = vi.L2Squared(y) @ B + vi.PnP(denoiser, sigma=0.02)
    solver = vi.ProximalGradient()
    vi.solve(problem, solver, stop=vi.iterations(2))
    denoiser.spent, began = 0.0, time.perf_counter()
    vi.solve(problem, solver, stop=vi.iterations(20))
    total = time.perf_counter() - began
    share = 100 * (total - denoiser.spent) / total
    yield Row(case, "20 iterations", total, note=f"network {denoiser.spent:.2f} s, varinv's own share {share:.1f} %")
