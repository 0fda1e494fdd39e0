"""The weight of total variation for a real scan whose truth nobody knows: the tooth, every fourth of its views.

    min over x ≥ 0 of ½‖A x − y‖² + λ TV(x),  λ by held-out views, beside λ by the whiteness of the residual

Promised: views that neither the choice nor the reconstruction has seen are predicted, with the λ of held-out views,
within 2 % of the best of seven λ, and better than by filtered back-projection.  The scan is looked for in VARINV_DATA
or ../shared/data; without it (and with --small) the scan that comes with varinv is taken.
"""

import math
import os
import sys
from pathlib import Path

import numpy as np

import varinv as vi
from varinv.scan import demo

small = "--small" in sys.argv
data = Path(os.environ.get("VARINV_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
tooth = data / "ct_tooth_parallel_h5" / "tooth.h5"
scan = vi.read(tooth if tooth.is_file() and not small else demo.path())
print(f"axis        {scan.axis:.2f}, found from all views")
scan = scan.bin(2)
seen, unseen = (scan.views(slice(k, None, 6 if small else 4)) for k in (0, 2))
size = seen.shape[2]
A, other = (vi.Radon((size, size), part.geometry, part.geometry.spacing) for part in (seen, unseen))
y, target = seen.sinogram(row=0), unseen.sinogram(row=0)
print(f"scan        {scan.raw.path.name}: {y.shape[0]} views of {size} bins, as many to judge by")


def family(theta, y):
    return vi.L2Squared(y) @ A + math.exp(theta[0]) * vi.TV(A.domain) + vi.NonNegative()


def unseen_error(x):
    return float(np.linalg.norm(other(x) - target) / np.linalg.norm(target))


stop = vi.gap(1e-3) | vi.iterations(100 if small else 200)
high = math.log(20 * float(np.percentile(y, 99)))  # far too heavy
thetas = [high - 9 + 1.25 * k for k in range(7)]  # seven λ, each 3.5 times the one before
errors = [unseen_error(vi.solve(family([t], y), stop=stop).x) for t in thetas]
found = {}
for rule in (vi.HoldOut(every=5, axis=0), vi.Whiteness(axes=(-1,))):
    found[rule] = chosen = vi.choose(
        family, y, rule, bounds=(thetas[0], thetas[-1]), points=thetas, refine=not small, stop=stop
    )
    print(chosen.summary())
    print(f"unseen      relative residual {unseen_error(chosen.x):.4f}\n")
held = unseen_error(next(iter(found.values())).x)
print("λ           " + " ".join(f"{math.exp(t):8.3g}" for t in thetas))
print("unseen      " + " ".join(f"{e:8.4f}" for e in errors))
fbp = unseen_error(vi.fbp(A, y, "hann"))
print(f"unseen      held-out {held:.4f}, best of seven {min(errors):.4f}, FBP {fbp:.4f}")
if not small:
    Path("output").mkdir(exist_ok=True)
    next(iter(found.values())).plot("output/ct_choose_tv.png")
