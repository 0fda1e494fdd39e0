"""A run of every example of every solver, and of one larger problem, in a process of its own: what tests of checkpoints
and the benchmark that kills runs start.  Prints one digest of the last state per run, as JSON.

    python tests/helpers/resume.py ITERATIONS [FOLDER of checkpoints]
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from conftest import rand, solver_kinds

import varinv as vi
from varinv.solvers.archive import pack


def runs() -> dict[str, tuple[Any, Any]]:
    """Name → (solver, problem)."""
    found = {f"{c.__name__}-{i}": e for c in solver_kinds() for i, e in enumerate(c.examples())}
    A = vi.Radon((40, 36), vi.ParallelBeam(np.linspace(0, 3.1, 12), 60))
    y = A(rand(np, A.domain, 1, "float32", "non-negative"))
    found["tomography"] = (vi.ChambollePock(), vi.L2Squared(y) @ A + 0.05 * vi.TV(A.domain) + vi.NonNegative())
    found["least squares"] = (vi.CGLS(), vi.Problem((vi.L2Squared(y) @ A,)))
    return found


def digest(state: Any) -> str:
    """Of every number in a state."""
    arrays: list[Any] = []
    words = json.dumps(pack(state, arrays, "state"))
    return hashlib.sha256(b"".join([words.encode(), *(a.tobytes() for a in arrays)])).hexdigest()[:16]


def run(name: str, n: int, path: Path | None, **settings: Any) -> Any:
    solver, problem = runs()[name]
    keep = None if path is None else vi.Checkpoint(path, every=1)
    return vi.solve(problem, solver, stop=vi.iterations(n), checkpoint=keep, **settings)


if __name__ == "__main__":
    n, folder = int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None
    print(json.dumps({
        name: digest(run(name, n, None if folder is None else folder / f"{name}.npz").state) for name in runs()
    }))  # fmt: skip
