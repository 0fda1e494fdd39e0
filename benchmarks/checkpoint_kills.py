"""Runs killed by SIGKILL at random moments, then resumed: the same bits, and no checkpoint that cannot be read.

    python benchmarks/checkpoint_kills.py [RUNS]

Each run is a process of its own that writes a checkpoint after every iteration, is killed after a random time, is
resumed and killed again, and in the end left alone.  Its last state must be that of a run that was never stopped.  The
runs go round over the first example of every solver.  Prints one line per solver and what was asked; exits with 1 where
a run failed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[1] / "tests" / folder) for folder in ("", "helpers", "core"))
import resume

from varinv.solvers import archive

N = 60
KILLS = 2


def child(name: str, path: Path | None) -> int:
    """The pid of a process that runs to iteration N and writes the digest of its state beside the checkpoint."""
    if (pid := os.fork()) == 0:
        code = 1
        try:
            words = resume.digest(resume.run(name, N, path).state)
            Path(f"{path or name}.digest").write_text(words)
            code = 0
        finally:
            os._exit(code)
    return pid


def main(runs: int) -> int:
    names = [f"{kind.__name__}-0" for kind in resume.solver_kinds()]  # this process itself starts no kernel: it forks
    chance, done = random.Random(0), dict.fromkeys(names, 0)
    length: dict[str, float] = {}
    kills = failures = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for i in range(runs):
            name = names[i % len(names)]
            if name not in length:
                began = time.monotonic()
                os.waitpid(child(name, None), 0)
                length[name] = time.monotonic() - began
            path = Path(f"{i}-{name}.npz")
            for _ in range(KILLS):
                pid = child(name, path)
                time.sleep(chance.uniform(0.2, 1.5) * length[name])
                os.kill(pid, signal.SIGKILL)
                kills += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
                if path.exists():
                    try:
                        archive.read(path)
                    except ValueError as error:
                        failures += 1
                        print(error)
            status = os.waitpid(child(name, path), 0)[1]
            found = Path(f"{path}.digest")
            same = status == 0 and found.read_text() == Path(f"{name}.digest").read_text()
            failures += not same
            done[name] += same
    for name, count in done.items():
        if count:
            print(f"{name:<32} {count} runs resumed to the same bits")
    print(f"{sum(done.values())} of {runs} runs, {kills} of {runs * KILLS} kills hit, {failures} failures (0 asked)")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
