"""Semi-convergence: SIRT, SART and CGLS first find the image, then the noise; where the discrepancy rule stops them.

    ½‖A x − y‖², nothing else: the regularisation is the number of iterations

A: Radon transform, 60 parallel views, noise of 2 % of the largest line integral.  The rule (Morozov): stop once
‖A x − y‖ ≤ 1.02 s√m, s the standard deviation of the noise in m bins.  Promised: the error of each method at its last
iteration is at least 1.3 times its least, and at the stop at most 1.1 times.  ``--plot FILE`` draws the curves.
"""

import itertools
import sys

import numpy as np

import varinv as vi
from varinv.phantom import shepp_logan

n = 64 if "--small" in sys.argv else 128
phantom, geometry = shepp_logan(n / 2), vi.ParallelBeam(np.arange(60) * np.pi / 60, int(1.5 * n))
truth, clean = phantom.image((n, n)), phantom.line_integrals(geometry, rays_per_bin=4)
s = 0.02 * clean.max()
y = clean + s * np.random.default_rng(0).standard_normal(clean.shape)
problem = vi.Problem((vi.L2Squared(y) @ vi.Radon((n, n), geometry),))
rule = vi.misfit(s * np.sqrt(y.size), factor=1.02)

curves = {}
for name, solver, number in (
    ("SIRT", vi.SIRT(), 600),
    ("SART", vi.SART(relaxation=0.2), 60),
    ("CGLS", vi.CGLS(), 60),
):
    states = itertools.islice(solver.states(problem), number + 1)
    curves[name] = [vi.relative_error(state.x, truth) for state in states]
    stopped = vi.solve(problem, solver, stop=rule | vi.iterations(number))
    least, at = min(curves[name]), stopped.state.k
    print(
        f"{name:<12}least {least:.4f} at {np.argmin(curves[name])}, stopped {curves[name][at]:.4f} at {at}, "
        f"last {curves[name][-1]:.4f} at {number}"
    )
    curves[name] = curves[name], at

if "--plot" in sys.argv:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    plt.figure(layout="constrained")
    for name, (errors, at) in curves.items():
        (line,) = plt.semilogx(range(1, len(errors)), errors[1:], label=name)
        plt.plot(at, errors[at], "o", color=line.get_color())
    plt.xlabel("iterations (SART: sweeps over all views)")
    plt.ylabel("relative error ‖x − truth‖ / ‖truth‖")
    plt.title("Semi-convergence; dots: where the discrepancy rule stops")
    plt.ylim(0, 1)
    plt.legend()
    plt.savefig(sys.argv[sys.argv.index("--plot") + 1], dpi=120)
