"""Which planted faults are called by their name: a table of faults by scans, as docs/checks.md keeps it.

python benchmarks/planted_faults.py        real scans come from VARINV_DATA, or ../shared/data
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
from faults import FAULTS, alarms, caught, phantoms, real, told

DATA = Path(os.environ.get("VARINV_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SIGNS = {True: "yes", False: "no", None: "own"}


def main(folder: Path) -> None:
    """Print the table in Markdown, then the false alarms of the right scans and the sum."""
    scans = dict(phantoms()) | dict(real(folder))
    hits: list[bool] = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        before = {name: told(m, place) for name, m in scans.items()}
        print("| planted |", " | ".join(scans), "|")
        print("|---|" + "---|" * len(scans))
        for fault in FAULTS:
            cells = []
            for name, m in scans.items():
                planted = fault.plant(m, np.random.default_rng(7))
                found = "" if planted is None else SIGNS[caught(fault, told(planted, place), before[name])]
                cells.append(found)
                if found in ("yes", "no"):
                    hits.append(found == "yes")
            print(f"| {fault.name} |", " | ".join(cells), "|", flush=True)
    false = {n: alarms(said, scans[n].allowed) for n, said in before.items()}
    print(f"\ncaught: {sum(hits)} of {len(hits)}, {np.mean(hits):.1%}")
    print("false alarms:", {n: t for n, t in false.items() if t} or "none")


if __name__ == "__main__":
    main(DATA)
