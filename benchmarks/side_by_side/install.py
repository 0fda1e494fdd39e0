"""Environments for the peers: FOLDER/main and one for each peer that contradicts another; uses nothing but Python.

    python benchmarks/side_by_side/install.py FOLDER

Each peer is installed by itself after varinv, whose NumPy is kept as it is: one that fails is named, and
becomes a row of the table that says so.  What is installed already is left alone.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIST = ROOT / "benchmarks" / "requirements.txt"
OURS = ["numpy==2.4.6", "scipy==1.17.1", "numba==0.68.1", "scikit-image==0.26.0"]


def peers(text: str) -> list[tuple[str, str, list[str]]]:
    """(peer, environment, requirements) from the text of requirements.txt."""
    found: list[tuple[str, str, list[str]]] = []
    for line in text.splitlines():
        words = line.split("#")[0].strip()
        if words.startswith("["):
            peer, environment = (part.strip() for part in words.strip("[]").split(","))
            found.append((peer, environment, []))
        elif words:
            found[-1][2].append(words)
    return found


def pip(python: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(python), "-m", "pip", *words], capture_output=True, text=True, check=False)


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "kept.txt"
    kept.write_text("\n".join(OURS) + "\n")
    for peer, environment, requirements in peers(LIST.read_text()):
        python = folder / environment / "bin" / "python"
        if not python.exists():
            venv.create(folder / environment, with_pip=True)
            done = pip(python, "install", "--quiet", "--constraint", str(kept), "--editable", str(ROOT))
            if done.returncode:
                print(done.stderr)
                return 1
        done = pip(python, "install", "--quiet", "--constraint", str(kept), *requirements)
        words = done.stderr.strip().splitlines()
        print(f"{peer}: {'installed' if not done.returncode else words[-1] if words else 'failed'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
