"""Rules that choose the weight of total variation without the truth, against the weight that knows it.

Six photographs of 64², noise 0.1 (known to SURE, EDP and the discrepancy), anisotropic total variation smoothed with
ν = 0.01, 25 weights from 0.01 to 0.5.  Printed: loss of PSNR against the best of these weights, image by image, and
what is asked of it.  Then how good Stein's estimate is, and several parameters by its gradient.
Run as ``python benchmarks/choice_rules.py``; a minute or two.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import varinv as vi
from varinv.learning.choose import choose_from
from varinv.learning.lower import hessian
from varinv.learning.path import Sweep
from varinv.learning.reference import photographs

NOISE, WEIGHTS = 0.1, np.geomspace(0.01, 0.5, 25)
RULES: dict[str, tuple[Any, float | None]] = {
    "SURE": (vi.SURE(NOISE), 0.15),
    "SURE, noise estimated": (vi.SURE(), None),
    "EDP": (vi.Discrepancy(NOISE, corrected=True), 0.6),
    "whiteness": (vi.Whiteness(), 0.6),
    "discrepancy": (vi.Discrepancy(NOISE), None),
    "GCV": (vi.GCV(), None),
    "GCV, robust 0.2": (vi.GCV(robust=0.2), None),
    "L-curve": (vi.LCurve(), None),
}


def sweeps() -> list[tuple[Any, Any, Sweep]]:
    """(truth, data, sweep) of the six images."""
    truths = photographs(64)
    noise = NOISE * np.random.default_rng(0).standard_normal(truths.shape)
    family = vi.families.TV((64, 64), smoothing=0.01, isotropic=False)
    return [(x, x + n, Sweep(family, x + n)) for x, n in zip(truths, noise, strict=True)]


def implicit_freedom(sweep: Sweep, theta: float) -> float:
    """bᵀ H⁻¹ b for the same probe, by conjugate gradients on the Hessian: no finite difference."""
    fit = sweep.at(theta)
    v, _, _ = vi.conjugate_gradients(hessian(fit.problem, fit.x), sweep.probe, tol=1e-6, most=2000)
    return float(np.vdot(sweep.probe, v))


def main() -> None:
    thetas = [float(t) for t in np.log(WEIGHTS)]
    made = sweeps()
    quality = [[vi.psnr(s.at(t).x, x, data_range=1.0) for t in thetas] for x, _, s in made]
    oracle = [max(row) for row in quality]
    print(f"{'oracle, dB':<24}" + "".join(f"{q:8.2f}" for q in oracle))
    best = [thetas[int(np.argmax(row))] for row in quality]
    print(f"{'its weight':<24}" + "".join(f"{math.exp(t):8.3f}" for t in best) + "\n")
    print(f"{'loss, dB':<24}" + "".join(f"{f'image {i}':>8}" for i in range(6)) + "   asked  status")
    for name, (rule, asked) in RULES.items():
        found = [choose_from(s, rule, thetas) for _, _, s in made]
        lost = [q - vi.psnr(c.x, x, data_range=1.0) for q, c, (x, _, _) in zip(oracle, found, made, strict=True)]
        words = "–" if asked is None else f"{asked:g}"
        statuses = ", ".join(sorted({c.status for c in found}))
        print(f"{name:<24}" + "".join(f"{v:8.2f}" for v in lost) + f"{words:>8}  {statuses}")
        if name == "discrepancy":
            ratio = [c.curve[[p.theta for p in c.curve].index(c.theta[0])].criterion ** 2 for c in found]
            print(f"{'  residual²/(mσ²)':<24}" + "".join(f"{r:8.4f}" for r in ratio) + "  1 ± 1 %")
    risk, freedom = [], []
    for (x, _, s), t in zip(made, best, strict=True):
        p = vi.SURE(NOISE).point(s, t, NOISE)
        error = float(np.sum((s.at(t).x - x) ** 2))
        risk.append((p.criterion - error) / error)
        freedom.append(p.df / implicit_freedom(s, t) - 1)
    print(f"\n{'(SURE − MSE)/MSE':<24}" + "".join(f"{r:8.3f}" for r in risk) + "   ≤ 0.2")
    print(f"{'df against implicit':<24}" + "".join(f"{r:8.4f}" for r in freedom) + "   ≤ 0.05")
    print("\nweight and smoothing by the gradient of SURE, against the best of a weight with ν = 0.01 (dB)")
    family = vi.families.TV((64, 64), isotropic=False)
    for i, (x, y, _) in enumerate(made):
        c = vi.choose(family, y, vi.SURE(NOISE), bounds=[(-5, 0), (-7, -2)])
        lost = oracle[i] - vi.psnr(c.x, x, data_range=1.0)
        words = ", ".join(f"{n} {v:.4f}" for n, v in c.values.items())
        print(f"image {i}: {lost:6.2f} dB, {words}, {len(c.curve)} evaluations, {c.iterations} iterations, {c.status}")


if __name__ == "__main__":
    main()
