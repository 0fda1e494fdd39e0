"""Do damaged files harm whoever reads them?  Mutates small scans of every format and reads each mutant in a worker.

``python benchmarks/fuzz_readers.py [--each 1500] [--seed 0] [--only npz …] [--keep FOLDER]`` prints a table: by format
the mutants that were read, those refused with a ScanError that names the file, and what must not be: crashes, hangs
(2 s of processor time), memory (1 GiB resident above what the imports need) and errors of other kinds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from select import select
from typing import Any

import h5py
import numpy as np

SECONDS, WALL, MEMORY = 2, 30, 1 << 30
FAULTS = ("crash", "hang", "memory", "raw error", "nameless")
VIEWS, ROWS, COLUMNS = 24, 2, 40
Content = dict[str, Any]


def scan() -> Content:
    """Counts, flats, darks, angles of a blob."""
    angles = np.linspace(0, np.pi, VIEWS, endpoint=False)
    lines = np.exp(-((np.arange(COLUMNS) - 19.5 - 5 * np.cos(angles)[:, None]) ** 2) / 18)[:, None].repeat(ROWS, 1)
    counts = np.random.default_rng(0).poisson(2e4 * np.exp(-lines) + 100).astype(np.uint16)
    flats, darks = np.full((3, ROWS, COLUMNS), 20100, np.uint16), np.full((2, ROWS, COLUMNS), 100, np.uint16)
    return {"data": counts, "flats": flats, "darks": darks, "angles": angles}


def npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, -np.log(scan()["data"][:, 0] / 2e4))


def npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **scan())


def exchange(path: Path) -> None:
    s = scan()
    names = {"data": "data", "data_white": "flats", "data_dark": "darks", "theta": "angles"}
    with h5py.File(path, "w") as file:
        for name, key in names.items():
            made = file.create_dataset(f"exchange/{name}", data=s[key], compression="gzip", chunks=True, shuffle=True)
            made.attrs["units"] = "radians" if name == "theta" else "counts"
        file["exchange/data"].attrs["axes"] = "theta:y:x"


def nexus(path: Path) -> None:
    s = scan()
    with h5py.File(path, "w", libver="latest") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"], entry["definition"] = "NXentry", "NXtomo"
        frames = np.concatenate([s["flats"], s["darks"], s["data"]])
        entry.create_dataset("instrument/detector/data", data=frames, chunks=(4, ROWS, COLUMNS), compression="gzip")
        entry["instrument/detector/image_key"] = [1] * 3 + [2] * 2 + [0] * VIEWS
        entry["sample/rotation_angle"] = np.rad2deg(np.append(np.zeros(5), s["angles"]))
        entry["sample/rotation_angle"].attrs["units"] = "degree"
        entry["data/data"] = h5py.SoftLink("/entry/instrument/detector/data")
        layout = h5py.VirtualLayout(frames.shape, frames.dtype)
        layout[:] = h5py.VirtualSource(".", "/entry/instrument/detector/data", frames.shape)
        entry.create_virtual_dataset("seen", layout)


def tiff(path: Path) -> None:
    import tifffile

    lines = -np.log(scan()["data"] / 2e4).astype(np.float32)
    tifffile.imwrite(path, lines, compression="zlib", photometric="minisblack", rowsperstrip=1)


def mat5(path: Path) -> None:
    import scipy.io

    s = scan()
    inner = {"sinogram": -np.log(s["data"][:, 0] / 2e4), "name": "blob", "settings": {"n": 3.0}}
    content = {"sino": inner["sinogram"], "angleDeg": np.rad2deg(s["angles"]), "more": inner}
    with path.open("wb") as file:
        scipy.io.savemat(file, {**content, "cells": np.array([1.0, "two"], object)}, do_compression=True)


def mat73(path: Path) -> None:
    s = scan()
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in (("sino", -np.log(s["data"][:, 0] / 2e4)), ("angleRad", s["angles"][None])):
            file.create_dataset(name, data=value.T, compression="gzip").attrs["MATLAB_class"] = np.bytes_("double")
        cell = file.create_dataset("cells", (2, 1), h5py.ref_dtype)
        cell[:, 0] = [file["sino"].ref, file["angleRad"].ref]
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(128))


def table(path: Path) -> None:
    s = scan()
    columns = np.column_stack([np.rad2deg(s["angles"]), -np.log(s["data"][:, 0] / 2e4)])
    head = "angle_deg," + ",".join(f"column {k}" for k in range(COLUMNS))
    np.savetxt(path, columns, "%.6g", delimiter=",", header=head, comments="")


FORMATS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "npy": (".npy", npy), "npz": (".npz", npz), "exchange": (".h5", exchange), "nexus": (".nxs", nexus),
    "tiff": (".tif", tiff), "mat5": (".mat", mat5), "mat73": (".mat", mat73), "table": (".csv", table),
}  # fmt: skip


def mutant(whole: bytes, rng: np.random.Generator) -> bytes:
    """One change or up to eight: bytes, whole numbers with extreme values, blocks copied, cut, blanked, inserted."""
    content = bytearray(whole)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3, 8]))):
        n = max(len(content), 1)
        # half of the changes hit the first kilobyte, where headers are
        at = int(rng.integers(min(n, 1024) if rng.random() < 0.5 else n))
        length = int(rng.integers(1, 65))
        how = rng.integers(8)
        if how == 0:
            content[at : at + 1] = bytes([int(rng.integers(256))])
        elif how == 1:
            content[at : at + 1] = bytes([(content[at] if at < len(content) else 0) ^ (1 << int(rng.integers(8)))])
        elif how == 2:
            width = int(rng.choice([2, 4, 8]))
            value = int(rng.choice([0, 1, 2, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31]))
            value = (1 << 8 * width) - 1 if rng.random() < 0.2 else min(value, (1 << 8 * width) - 1)
            content[at : at + width] = value.to_bytes(width, "little" if rng.random() < 0.8 else "big")
        elif how == 3:
            content[at : at + length] = rng.bytes(length)
        elif how == 4:
            content[at : at + length] = bytes([int(rng.choice([0, 255]))]) * length
        elif how == 5:
            there = int(rng.integers(n))
            content[at : at + length] = content[there : there + length]
        elif how == 6 and rng.random() < 0.3:
            content = content[:at]
        elif how == 7 and rng.random() < 0.3:
            content[at:at] = rng.bytes(length)
    return bytes(content)


def inside(kind: str, whole: bytes, rng: np.random.Generator, folder: Path) -> bytes:
    """A mutant whose change lies inside what is compressed, so that the checksums are right."""
    if kind == "npz":
        source, target = folder / "inside.npz", folder / "changed.npz"
        source.write_bytes(whole)
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                content = old.read(name)
                new.writestr(name, mutant(content, rng) if rng.random() < 0.4 else content)
        return target.read_bytes()
    assert kind == "mat5"
    out, at = bytearray(whole[:128]), 128
    while at + 8 <= len(whole):
        length = int.from_bytes(whole[at + 4 : at + 8], "little")
        content = zlib.decompress(whole[at + 8 : at + 8 + length])
        packed = zlib.compress(mutant(content, rng) if rng.random() < 0.4 else content)
        out += whole[at : at + 4] + len(packed).to_bytes(4, "little") + packed
        at += 8 + length
    return bytes(out)


def work() -> None:
    """Read the files whose names come on standard input; answer each with what happened, one line."""
    from varinv.scan import ScanError, read

    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # kills, also within a library
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            opened = read(path)
            if hasattr(opened, "sinogram"):
                opened.sinogram(0)
            answer = "read"
        except ScanError as error:
            answer = "refused" if path.name in str(error) else f"nameless {str(error)[:150]!r}"
        except BaseException as error:  # the point of this program
            answer = f"raw error {type(error).__name__}: {str(error)[:150]!r}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) * 1024 > MEMORY:
            print("memory", flush=True)
            return
        print(answer, flush=True)


class Worker:
    """A process that reads files; started again where a file has ended it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def ask(self, path: Path) -> str:
        if self.process is None or self.process.poll() is not None:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
            self.process = subprocess.Popen(
                [sys.executable, __file__, "--work"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True, env=environment,
            )  # fmt: skip
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        if not select([process.stdout], [], [], WALL)[0]:
            process.kill()
            self.close()
            return "hang"
        answer = process.stdout.readline().strip()
        if not answer:
            self.close()
            return "hang" if process.returncode == -signal.SIGPROF else f"crash {process.returncode}"
        if answer == "memory":
            self.close()
        return answer

    def close(self) -> None:
        """End the process, which stops where its input does."""
        if self.process is not None:
            with self.process as process:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
            self.process = None


def fuzz(kind: str, count: int, seed: int, keep: Path | None = None) -> Iterator[str]:
    """What happens to `count` mutants of one format."""
    suffix, make = FORMATS[kind]
    rng = np.random.default_rng([seed, *kind.encode()])
    worker = Worker()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / f"whole{suffix}")
        whole = (folder / f"whole{suffix}").read_bytes()
        first = worker.ask(folder / f"whole{suffix}")
        if first != "read":
            raise RuntimeError(f"the whole file of {kind}: {first}")
        for k in range(count):
            deep = kind in ("npz", "mat5") and k % 2
            content = inside(kind, whole, rng, folder) if deep else mutant(whole, rng)
            path = folder / f"mutant_{k}{suffix}"
            path.write_bytes(content)
            answer = worker.ask(path)
            if keep is not None and answer.startswith(FAULTS):
                keep.mkdir(exist_ok=True)
                (keep / f"{kind}_{seed}_{k}{suffix}").write_bytes(content)
            path.unlink()
            yield answer
    worker.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--work", action="store_true")
    options = parser.parse_args()
    if options.work:
        work()
        return
    heads = ("read", "refused", *FAULTS)
    print(f"{'format':10}" + "".join(f"{h:>11}" for h in heads), flush=True)
    for kind in options.only:
        answers = list(fuzz(kind, options.each, options.seed, options.keep))
        counted = Counter(next(h for h in heads if a.startswith(h)) for a in answers)
        print(f"{kind:10}" + "".join(f"{counted[h]:>11}" for h in heads), flush=True)
        for text, times in Counter(a for a in answers if a.startswith(FAULTS)).most_common(12):
            print(f"    {times} x {text}", flush=True)


if __name__ == "__main__":
    main()
