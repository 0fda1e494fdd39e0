"""Every case, each in a process of its own, and the table.

    cd benchmarks && python -m side_by_side [CASE …] [--quick] [--only PEER] [--threads N] [--out FOLDER]

`--quick`: the small sizes, once, some peers left out.  Peers that are not installed are rows that say so.
`make benchmark` first makes the environments (install.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import machine, report
from side_by_side.harness import NOBODY, Row, Run
from side_by_side.report import line

CASES = ("kernels", "footprint", "projectors", "denoising", "ct_tv", "deblurring", "graph", "bilevel", "pnp")
APART = {"mbirjax": ("projectors",)}  # peers whose requirements contradict another's: an environment of their own
FOLDER = Path(__file__).resolve().parent


def one(case: str, run: Run, out: Path) -> None:
    """Measure a case here and append its rows to a file, one JSON object a line."""
    module = importlib.import_module(f"side_by_side.cases.{case}")
    with out.open("a") as file:
        for row in module.rows(run):
            file.write(json.dumps(dataclasses.asdict(row)) + "\n")
            file.flush()
            print(f"  {row.case}: {line(row)}", flush=True)


def in_process(python: Path | str, case: str, words: list[str], environment: dict[str, str]) -> list[Row]:
    """The rows of a case measured in a process of its own; a crash is a row."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows"
        out.touch()
        command = [str(python), "-m", "side_by_side", case, "--here", str(out), *words]
        began = time.perf_counter()
        done = subprocess.run(command, cwd=FOLDER.parent, env=environment, check=False)
        rows = [Row(**json.loads(text)) for text in out.read_text().splitlines()]
    if done.returncode:
        rows.append(Row(case, "", None, note=f"the process ended with status {done.returncode}"))
    print(f"{case}: {time.perf_counter() - began:.0f} s", flush=True)
    return rows


def measure(case: str, run: Run, environment: dict[str, str]) -> list[Row]:
    """A case with the peers of this environment, then with those that have one of their own.

    Solvers run in a process each: one package leaves the allocator and the threads as another would not find them by
    itself (ODL's denoising was three times faster behind others than alone).
    """
    words = ["--quick"] * run.quick
    module = importlib.import_module(f"side_by_side.cases.{case}")
    if hasattr(module, "names"):
        rows = in_process(sys.executable, case, [*words, "--only", NOBODY], environment)
        for name in filter(run.wants, module.names(run)):
            rows += in_process(sys.executable, case, [*words, "--only", name], environment)
        return rows
    rows = in_process(sys.executable, case, [*words, "--only", run.only] if run.only else words, environment)
    for name, cases in APART.items():
        if case in cases and run.wants(name):
            python = Path(sys.prefix).parent / name / "bin" / "python"
            if python.exists():
                rows += in_process(python, case, [*words, "--only", name], environment)
            else:
                rows.append(Row(rows[0].case if rows else case, "", None, name, note="not installed"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="side_by_side", description="varinv beside the packages one would pick")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"none: all of {', '.join(CASES)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, once")
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 2), help="of every package")
    parser.add_argument("--out", type=Path, default=FOLDER.parent / "results")
    parser.add_argument("--only", default="", help="peers with this in their names")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    if options.here:
        one(
            options.cases[0],
            Run(options.quick, options.only, tuple(set(APART) - {Path(sys.prefix).name})),
            options.here,
        )
        return

    count = str(options.threads)
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    if hasattr(os, "sched_setaffinity"):  # JAX has no setting for the number of its threads: the cores are as many
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    # OpenMP threads of every package sleep after 0.1 ms: so long that they stay awake, and apart, between two calls, so
    # short that they are out of the way when it is another's turn
    environment = {"GOMP_SPINCOUNT": "10000"} | os.environ | dict.fromkeys(names, count)
    run = Run(options.quick, options.only)
    rows = [row for case in options.cases or CASES for row in measure(case, run, environment)]
    report.write(rows, machine.describe(options.threads), options.out)
    print(f"written: {options.out / 'results.md'} and results.json")


if __name__ == "__main__":
    main()
