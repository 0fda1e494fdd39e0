"""Registers and spills of every CUDA kernel, from the compiler CuPy uses; no device needed.

    python -m pip install 'varinv[cuda-test]' && python benchmarks/cuda_registers.py

Threshold: no spills. 64 registers let 1024 threads run on a multiprocessor of sm_80 and sm_90 (65536 registers).
"""

import re
import sys
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[1] / "tests" / folder) for folder in ("", "helpers", "core"))

from test_cuda_kernels import MODULES, NVRTC, cupy_options

from varinv import cuda_tools

COLUMNS = [(dtype, arch) for dtype in ("float32", "float64") for arch in ("sm_80", "sm_90")]


def report(log):
    """Kernel → (registers, spilled bytes)."""
    found = {}
    for part in log.split("Compiling entry function")[1:]:
        name = re.search(r"'(\w+)'", part).group(1)
        spills = sum(int(n) for n in re.findall(r"(\d+) bytes spill", part))
        found[name] = int(re.search(r"Used (\d+) registers", part).group(1)), spills
    return found


compiler, table = NVRTC(), {}
for module in MODULES:
    for dtype, arch in COLUMNS:
        status, log = compiler.compile(cuda_tools.source(module), (*cupy_options(dtype, arch), "--ptxas-options=-v"))
        assert status == 0, log
        for name, numbers in report(log).items():
            table.setdefault((module.split(".")[-1].removesuffix("_cuda") + ".cu", name), {})[dtype, arch] = numbers

print(
    f"{'file':13} {'kernel':24}" + "".join(f"{dtype + ' ' + arch:>16}" for dtype, arch in COLUMNS) + "  spills, bytes"
)
for (file, name), cells in table.items():
    spills = sum(s for _, s in cells.values())
    print(f"{file:13} {name:24}" + "".join(f"{cells[c][0]:16d}" for c in COLUMNS) + f"  {spills} (threshold 0)")
