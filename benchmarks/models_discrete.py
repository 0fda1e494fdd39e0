"""Recovery of vectors of few values by Cauchy–Schwarz regularisers (E14).

    python benchmarks/models_discrete.py

A is M × 100, Gaussian; x is ±1 (bin), 0 or 1 (osb), or −1, 0, 1 with probabilities ¼, ½, ¼ (ter); the regulariser is
minimised over A x = b from a random start by accelerated projected gradients with backtracking.  A trial succeeds
where the relative error is below 1e-2.  20 trials, seeds fixed.
"""

import numpy as np

import varinv as vi

KINDS = {"bin": vi.Binary(False), "osb": vi.OneSidedBinary(False), "ter": vi.Ternary(False)}


def draw(kind, rng):
    if kind == "bin":
        return rng.choice([-1.0, 1.0], 100)
    return rng.integers(0, 2, 100).astype(float) if kind == "osb" else rng.choice([-1.0, 0, 0, 1], 100)


def recover(f, A, b, start, steps):
    """FISTA with backtracking and restart by function value; the prox is the projection onto A x = b."""
    pinv = np.linalg.pinv(A)
    x = z = start - pinv @ (A @ start - b)
    t, step, value = 1.0, 1e-3, np.inf
    for _ in range(steps):
        g, at = f.grad(z), f(z)
        while True:
            new = z - step * (g - pinv @ (A @ g))
            d = new - z
            here = f(new)
            if here <= at + g @ d + d @ d / (2 * step) + 1e-12 * abs(at) or step < 1e-12:
                break
            step /= 2
        if here > value:
            t = 1.0
        ahead = (1 + np.sqrt(1 + 4 * t * t)) / 2
        z, x, t, value, step = new + (t - 1) / ahead * (new - x), new, ahead, here, 1.1 * step
        if here < 1e-14:
            break
    return x


def successes(kind, rows, trials=20, steps=3000):
    wins = 0
    for trial in range(trials):
        rng = np.random.default_rng([trial, rows])
        A, truth = rng.standard_normal((rows, 100)), draw(kind, rng)
        x = recover(KINDS[kind], A, A @ truth, rng.standard_normal(100), steps)
        wins += bool(vi.relative_error(x, truth) < 1e-2)
    return wins


EXPECTED = (("bin", 70, 19, 20), ("bin", 80, 19, 20), ("osb", 70, 18, 20), ("osb", 80, 19, 20),
            ("ter", 80, 18, 20), ("ter", 60, 0, 4))  # fmt: skip


def main():
    for kind, rows, low, high in EXPECTED:
        wins = successes(kind, rows)
        print(f"E14 {kind} M={rows}: {wins}/20, expected {low} … {high} {'ok' if low <= wins <= high else 'OUTSIDE'}")


if __name__ == "__main__":
    main()
