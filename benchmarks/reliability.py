"""The scoreboard of reliability: figures of this library beside the best known of its peers, in at most ten minutes.

    python benchmarks/reliability.py [--write]       # or: make reliability; --write keeps it in docs/reliability.md

Each row runs a study in its small form (the scripts beside this one are the whole ones) and says what was asked.  Rows
that a test file holds are named with it.  Exits with 1 where a figure misses what is asked.
"""

from __future__ import annotations

import importlib
import pkgutil
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import varinv as vi
import varinv.operators

HERE = Path(__file__).resolve().parent


class Row(NamedTuple):
    number: str
    what: str
    figure: str
    asked: str
    peers: str
    good: bool = True


def operators() -> list[Any]:
    """The examples of every operator of the package, tiny ones only."""
    from varinv.operators.base import LinearOperator

    for _, name, _ in pkgutil.iter_modules(varinv.operators.__path__):
        if not name.endswith(("_cuda", "_cpu", "_astra")):
            importlib.import_module(f"varinv.operators.{name}")
    found = []
    for kind in LinearOperator.kinds:
        if not kind.__module__.startswith("varinv.") or kind.__abstractmethods__:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found += [K for K in kind.examples() if np.prod(K.domain) <= 400 and np.prod(K.codomain) <= 2000]
            except ImportError:  # an engine that is not installed
                continue
    return found


def adjoints(found: list[Any]) -> list[Row]:
    worst = {"float32": 0.0, "float64": 0.0}
    for K in found:
        for dtype in worst:
            for seed in range(50):
                rng = np.random.default_rng(seed)
                x, y = rng.standard_normal(K.domain), rng.standard_normal(K.codomain)
                x, y = (abs(x), abs(y)) if seed % 2 else (x, y)
                x, y = x.astype(dtype), y.astype(dtype)
                Kx, Ky = np.asarray(K(x), "f8"), np.asarray(K.T(y), "f8")
                size = max(np.linalg.norm(Kx) * np.linalg.norm(y), np.linalg.norm(x) * np.linalg.norm(Ky))
                if size > 0:
                    worst[dtype] = max(worst[dtype], abs(np.vdot(Kx, y) - np.vdot(x.astype("f8"), Ky)) / size)
    off = loose = 0.0
    for K in found:
        M = np.stack([np.ravel(K(e.reshape(K.domain))) for e in np.eye(int(np.prod(K.domain)))], axis=1)
        back = np.stack([np.ravel(K.T(e.reshape(K.codomain))) for e in np.eye(M.shape[0])])  # row by row
        off = max(off, float(abs(M - back).max() / (abs(M).max() or 1)))
        loose = max(loose, float(np.linalg.norm(M, 2) - K.norm()) / (K.norm() or 1))
    words = f"{worst['float64']:.0e} float64, {worst['float32']:.0e} float32 ({len(found)} operators, 50 seeds)"
    good = worst["float64"] <= 1e-12 and worst["float32"] <= 1e-6
    return [
        Row("R1", "adjoint error", words, "1e-12, 1e-6", "7e-9 (ASTRA CPU), 5e-2 (ODL's tolerance)", good),
        Row("R2", "adjoint against dense matrix", f"{off:.0e}", "1e-10", "none", off <= 1e-10),
        Row("R6", "norms below the dense ones", f"{loose:.0e} of the norm", "0", "none certified", loose <= 1e-12),
    ]


def random_problems() -> list[Row]:
    import random_problems as study

    wrong = study.study(60, 30, 11)
    gaps, missed = len(wrong.get("false gap", [])), len(wrong.get("infeasible, not named", []))
    claimed = len(wrong.get("infeasible, converged", []))
    false = len(wrong.get("feasible, called infeasible", []))
    words = (
        f"{gaps} false gaps, {false} called infeasible of 60; of 30 infeasible {30 - missed} named, {claimed} converged"
    )
    good = gaps == claimed == false == 0 and missed <= 1
    return [Row("R5", "random problems against cvxpy", words, "0, 0; 95 %, 0", "none", good)]


def bad_calls() -> list[Row]:
    import bad_calls as study

    found, _ = study.study()
    errors = found["error"] + found["raw"] + found["unclear"]
    words = f"{sum(found.values())} calls: {found['silent'] + found['differs']} silent or wrong, "
    words += f"{100 * found['error'] / errors:.1f} % of {errors} errors clear"
    good = found["silent"] + found["differs"] + found["refused"] == 0 and found["error"] >= 0.98 * errors
    return [Row("R7", "bad and unusual arguments", words, "0; 98 %", "57–72 % raise, 13–50 % clear", good)]


def injected() -> list[Row]:
    import injected_faults as study

    found, bad = study.study(seed=3, share=0.18)
    words = f"{sum(found.values())} faults: {found['hang']} hangs, {found['garbage']} garbage, {found['raw']} raw, "
    words += f"{found['false']} false claims"
    return [Row("R8", "faults in operators, priors, rules", words, "0, 0, 0, 0", "SCICO: an option", not bad)]


def kills() -> list[Row]:
    done = subprocess.run([sys.executable, HERE / "checkpoint_kills.py", "6"], capture_output=True, text=True)
    last = (done.stdout.strip().splitlines() or ["failed"])[-1]
    return [
        Row("R9", "SIGKILL and resume, bit for bit", last, "0 failures", "diffct: a fingerprint", done.returncode == 0)
    ]


def threads() -> list[Row]:
    import numba

    problem = vi.L2Squared(np.random.default_rng(0).random((97, 83))) + 0.1 * vi.TV((97, 83)) + vi.NonNegative()
    seen = set()
    for count in {1, min(2, numba.config.NUMBA_NUM_THREADS), numba.config.NUMBA_NUM_THREADS}:
        numba.set_num_threads(count)
        for _ in range(5):
            seen.add(vi.solve(problem, vi.ChambollePock(), stop=vi.iterations(60)).x.tobytes())
    words = f"{len(seen)} different results of repeated runs on 1 to {numba.config.NUMBA_NUM_THREADS} threads"
    return [Row("R12", "determinism", words, "1", "tomopy#618 fails", len(seen) == 1)]


def leaks() -> list[Row]:
    def run() -> int:
        for _ in range(150):
            A = vi.Radon((12, 12), vi.ParallelBeam(np.linspace(0, 3, 9), 17))
            vi.solve(vi.L2Squared(np.ones((9, 17))) @ A + 0.1 * vi.TV((12, 12)), stop=vi.iterations(3))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    run()
    before, after = run(), run()
    share = after / before - 1
    words = f"{100 * share:.2f} % more memory after 150 operators and solves"
    return [Row("R14", "leaks", words, "1 %", "tomosipo#17", share <= 0.01)]


def cost() -> list[Row]:
    import check_cost

    found = check_cost.share()
    words = f"{100 * found['CT with TV']:.3f} % of an iteration of CT with TV, {100 * found['denoising']:.2f} % of TV"
    return [Row("–", "cost of the checks", words, "1 %", "none", max(found["CT with TV"], found["denoising"]) <= 0.01)]


def imports() -> list[Row]:
    took = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import varinv"], check=True)
        took.append(time.perf_counter() - began)
    return [
        Row(
            "R20",
            "import",
            f"{min(took):.2f} s with Python's own start",
            "0.5 s",
            "deepinv measures it",
            min(took) <= 0.5,
        )
    ]


TESTED = [  # what test files hold at every run of the suite
    Row("R3", "prox, conjugates, scaling laws", "tests/functionals", "1e-8", "MRpro 1e-3"),
    Row("R4", "gradients and hypergradients", "tests/learning, tests/functionals", "1e-6", "deepinv claims"),
    Row(
        "R10",
        "full disk, read-only, lost permission",
        "tests/core, tests/solvers/test_checkpoint_rests.py",
        "0",
        "none",
    ),
    Row("R13", "memory", "tests/core/test_memory.py, tests/tomography", "as forecast", "CIL 25 volumes"),
    Row("R15", "dtype and library kept", "tests/contracts, tests/core/test_array_kinds.py", "all", "ODL partly"),
    Row("R16", "one λ for all solvers and libraries", "tests/contracts, tests/core", "1e-4", "CIL rescales by hand"),
    Row("R17", "choice of parameters", "tests/learning, benchmarks/choice_rules.py", "0.5 dB", "none"),
    Row("R18", "Ctrl-C", "tests/solvers/test_solvers.py, test_checkpoint.py", "last iterate", "CIL: StopIteration"),
    Row("R19", "files of strangers", "tests/scan", "0", "none"),
    Row("R21", "docs execute", "doctests, tests/project", "all", "none"),
    Row("R22", "py.typed, mypy --strict", "make check", "0 errors", "MRpro"),
]
STUDIES: list[Callable[[], list[Row]]] = [
    lambda: adjoints(operators()), random_problems, bad_calls, injected, kills, threads, leaks, imports, cost,
]  # fmt: skip


def table(rows: list[Row]) -> str:
    def place(row: Row) -> tuple[int, str]:
        return (int(row.number[1:]) if row.number[1:] else 99, row.number)

    lines = ["| | what | here | asked | peers |", "|---|---|---|---|---|"]
    for row in sorted(rows, key=place):
        mark = "" if row.good else " **missed**"
        lines.append(f"| {row.number} | {row.what} | {row.figure}{mark} | {row.asked} | {row.peers} |")
    return "\n".join(lines)


def main() -> int:
    began, rows = time.perf_counter(), list(TESTED)
    for study in STUDIES:
        rows += study()
        print(f"{rows[-1].number:4} {rows[-1].what}: {rows[-1].figure}", flush=True)
    words = table(rows)
    print(words)
    print(f"{time.perf_counter() - began:.0f} s")
    if "--write" in sys.argv:
        page = HERE.parent / "docs" / "reliability.md"
        head, mark, _ = page.read_text().partition("<!-- table -->\n")
        page.write_text(head + mark + words + "\n")
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
