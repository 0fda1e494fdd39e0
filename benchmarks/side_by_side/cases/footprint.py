"""Import time, and the memory that few-view tomography holds at its peak."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator

import varinv as vi
from side_by_side.harness import Row, Run, peak_bytes
from side_by_side.problems import ct_tv
from varinv.backend import release

MODULES = {
    "scikit-image": "skimage.restoration",
    "ASTRA": "astra",
    "ODL": "odl",
    "PyLops + PyProximal": "pyproximal",
    "deepinv": "deepinv",
    "SCICO": "scico.optimize",
}


def import_seconds(module: str, repeats: int) -> float:
    """Median over fresh interpreters whose files are warm, without the start of Python; NaN where it fails."""
    code = f"import time; b = time.perf_counter(); import {module}; print('took', time.perf_counter() - b)"
    found = []
    for _ in range(repeats + 1):
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ImportError(done.stderr.strip().splitlines()[-1])
        found.append(float(done.stdout.split("took")[1]))
    return statistics.median(found[1:])


def rows(run: Run) -> Iterator[Row]:
    case, repeats = "import, fresh interpreter", 3 if run.quick else 7
    ours = import_seconds("varinv", repeats)
    yield Row(case, "import varinv", ours, asked=0.3)
    used = import_seconds("varinv, varinv.solvers.adaptive_chambolle_pock, varinv.operators.radon_cpu", repeats)
    yield Row(case, "import of all that CT-TV needs, kernels loaded", used)
    for name, module in MODULES.items():
        try:
            yield Row(case, f"import {module}", ours, name, import_seconds(module, 1))
        except ImportError as error:
            yield Row(case, f"import {module}", None, name, note=f"not installed: {error}"[:120])

    for n, views in ((256, 60), (512, 90))[: 1 if run.quick else 2]:
        made = ct_tv(run.size or n, views)
        image, sinogram = 4 * made.judge.coupled[0].K.domain[0] ** 2, made.y.nbytes

        def solve(known: bool, made: object = made) -> int:
            problem = made.build("float32")  # type: ignore[attr-defined]
            if known:
                problem.coupled[0].K.norm(), problem.coupled[0].K.forward(problem.zeros())
                release()  # buffers left idle would be used again and not counted
            return peak_bytes(lambda: vi.solve(problem, stop=vi.iterations(60)))

        vi.solve(made.build("float32"), stop=vi.iterations(3))
        case = f"memory of CT-TV {n}² / {views} views, float32, 60 iterations of the default solver, y included"
        for known, words in ((True, "norm and geometry known"), (False, "norm and geometry included")):
            value = (solve(known) + sinogram - 3 * sinogram) / image
            yield Row(case, f"peak less 3 sinograms, {words}", value, unit="images", asked=8.0 if known else None)
