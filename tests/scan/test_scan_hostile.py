"""Files from strangers: nothing outside the folder is read, nothing blocks or grows, each error is a ScanError."""

from __future__ import annotations

import os
import resource
import socket
import time
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scan_files as files
import scipy.io

from varinv.scan import ScanError, read

SECRET = Path("/etc/passwd")
OUTSIDE = r"outside the folder of the scan.*pass links='any' to read"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file elsewhere on the machine, with 64 x 40 bytes that look like counts."""
    place = tmp_path / "elsewhere" / "secret.bin"
    place.parent.mkdir()
    place.write_bytes(np.random.default_rng(0).integers(100, 200, 64 * 40, np.uint8).tobytes())
    with h5py.File(place.with_suffix(".h5"), "w") as file:
        file["data"] = np.random.default_rng(0).integers(100, 200, (64, 1, 40), np.uint8)
    return place


def external(path: Path, target: str | Path, shape: tuple[int, ...] = (64, 1, 40)) -> Path:
    with h5py.File(path, "w") as file:
        size = int(np.prod(shape))
        file.create_dataset("exchange/data", shape, "u1", external=[(str(target), 0, size)])
    return path


@pytest.mark.skipif(not SECRET.exists(), reason="no such file here")
def test_a_crafted_file_does_not_hand_out_the_passwords(tmp_path: Path) -> None:
    """Once the text of /etc/passwd came back as projections."""
    size = SECRET.stat().st_size // 16
    path = external(tmp_path / "crafted.h5", SECRET, (16, 1, size))
    with pytest.raises(ScanError, match=r"crafted\.h5: exchange/data lies in another file, /etc/passwd, " + OUTSIDE):
        read(path)
    found = read(path, links="any").raw.frames.read(np.arange(16), slice(0, 1))
    assert found.tobytes() == SECRET.read_bytes()[: 16 * size]  # the fault is real, and the argument works


@pytest.mark.parametrize("how", ["raw", "link", "soft, then link", "virtual", "virtual of a link", "dots", "symlink"])
def test_what_lies_outside_is_refused(how: str, tmp_path: Path, secret: Path) -> None:
    scan = tmp_path / "scan"
    scan.mkdir()
    path, target = scan / "master.h5", str(secret.with_suffix(".h5"))
    if how == "raw":
        external(path, secret)
    elif how == "dots":
        external(path, scan / ".." / "elsewhere" / "secret.bin")
    elif how == "symlink":
        (scan / "inside.h5").symlink_to(target)
        with h5py.File(path, "w") as file:
            file["exchange/data"] = h5py.ExternalLink("inside.h5", "/data")
    else:
        with h5py.File(path, "w") as file:
            if how == "link":
                file["exchange/data"] = h5py.ExternalLink("../elsewhere/secret.h5", "/data")
            elif how == "soft, then link":
                file["exchange/data"] = h5py.SoftLink("/far/data")
                file["far"] = h5py.ExternalLink(target, "/")
            else:
                source = target
                if how == "virtual of a link":
                    source = "middle.h5"
                    with h5py.File(scan / source, "w") as middle:
                        middle["data"] = h5py.ExternalLink(target, "/data")
                layout = h5py.VirtualLayout((64, 1, 40), "u1")
                layout[:] = h5py.VirtualSource(source, "/data", (64, 1, 40))
                file.create_virtual_dataset("exchange/data", layout)
    with pytest.raises(ScanError, match=OUTSIDE) as caught:
        read(path)
    assert "master.h5" in str(caught.value)
    assert "secret" in str(caught.value) or "inside.h5" in str(caught.value)
    assert read(path, links="any").shape == (64, 1, 40)


def test_what_lies_inside_is_read(tmp_path: Path) -> None:
    m = files.made()
    for how in ("external", "virtual"):
        (tmp_path / how).mkdir()
        path = files.nxtomo(tmp_path / how / "a.nxs", m, how)
        np.testing.assert_allclose(read(path).sinogram(1), m.lines[:, 1], atol=1e-6)  # float32
        (tmp_path / f"{how}.nxs").symlink_to(path)  # the folder of the scan is that of the file itself as well
        if how == "external":  # HDF5 looks for it beside the name, or in the working directory
            with pytest.raises(ScanError, match="which does not exist"):
                read(tmp_path / f"{how}.nxs")


def test_pipes_sockets_and_devices_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.h5")
        for name, what in (("pipe.h5", "a pipe"), ("socket.h5", "a socket"), ("/dev/zero", "a device")):
            with pytest.raises(ScanError, match=rf"{name}: is {what}, not a file or folder"):
                read(name)
    for argument in ("angles", "flats"):
        with pytest.raises(ScanError, match=r"pipe\.h5: is a pipe"):
            read(np.ones((3, 4)), **{argument: "pipe.h5"})
    with h5py.File("link.h5", "w") as file:
        file["exchange/data"] = h5py.ExternalLink("pipe.h5", "/data")
    with pytest.raises(ScanError, match=r"link\.h5: pipe\.h5 is a pipe|pipe\.h5 is a pipe"):
        read("link.h5")


def circles(path: Path, how: str) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("exchange")
        if how == "soft":
            group["data"] = h5py.SoftLink("/exchange/other")
            group["other"] = h5py.SoftLink("/exchange/data")
        elif how == "external":
            group["data"] = h5py.ExternalLink(path.name, "/exchange/data")
        elif how == "hard":  # 12 names in each of two groups for both: 24^8 paths
            for k in range(12):
                for inner in (file.require_group("exchange/a"), group):
                    inner[f"up{k}"] = group
                    inner[f"down{k}"] = file["exchange/a"]
        else:
            layout = h5py.VirtualLayout((5, 1, 40), "f4")
            layout[:] = h5py.VirtualSource(".", "exchange/data", (5, 1, 40))
            file.create_virtual_dataset("exchange/data", layout)


@pytest.mark.parametrize("how", ["soft", "external", "hard", "virtual"])
@pytest.mark.parametrize("suffix", [".h5", ".mat"])
def test_circles_end(how: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"circle{suffix}"
    circles(path, how)
    start = time.process_time()
    with pytest.raises(ScanError, match="circle"):
        read(path)
    assert time.process_time() - start < 2  # opening takes milliseconds; the paths of "hard" would take years


def test_heaps_that_never_end_are_seen_before_hdf5_reads_them(tmp_path: Path) -> None:
    path = files.exchange(tmp_path / "heap.h5", files.made())
    content = bytearray(path.read_bytes())
    at = content.find(b"GCOL")
    assert at > 0
    assert read(path).raw.kind == "counts"
    for first in (0, 1):  # free space of size 0; an object that leads out
        broken = bytearray(content)
        broken[at + 16 : at + 32] = first.to_bytes(8, "little") + (2**64 - 32 if first else 0).to_bytes(8, "little")
        path.write_bytes(broken)
        with pytest.raises(ScanError, match=rf"heap\.h5: damaged HDF5 file .*heap at byte {at} has no end"):
            read(path)


@pytest.mark.parametrize("library", ["earliest", "latest"])
def test_virtual_sources_of_too_many_axes_do_not_end_the_process(library: str, tmp_path: Path) -> None:
    path = tmp_path / "axes.h5"
    with h5py.File(path, "w", libver=library) as file:
        file["frames"] = np.random.default_rng(0).random((24, 3, 40))
        layout = h5py.VirtualLayout((24, 3, 40), "f8")
        for k in range(0, 24, 8):
            layout[k : k + 8] = h5py.VirtualSource(".", "frames", (24, 3, 40))[k : k + 8]
        file.create_virtual_dataset("exchange/data", layout)
    read(path, kind="line integrals")
    content = bytearray(path.read_bytes())
    # a regular hyperslab, version 3 (latest: length of numbers 2) or 1: the number of axes is a 3 of four bytes
    at = content.find(b"\x02\0\0\0\x03\0\0\0\x01\x02\x03\0\0\0") + 10
    if at < 10:
        at = content.find(b"\x02\0\0\0\x01\0\0\0", content.find(b"GCOL")) + 16
    assert content[at : at + 4] == b"\x03\0\0\0"
    content[at + 1] = 9
    path.write_bytes(content)
    with pytest.raises(ScanError, match=r"axes\.h5: damaged HDF5 file .*more than 32 axes"):
        read(path)


def test_a_damaged_archive_names_itself(tmp_path: Path) -> None:
    """Once zlib.error came through, without the name of the file."""
    path = tmp_path / "damaged.npz"
    counts = np.random.default_rng(0).poisson(800, (20, 64))
    np.savez_compressed(path, data=counts, flats=np.ones((2, 1, 64)), angles=np.linspace(0, 3, 20))
    content = bytearray(path.read_bytes())
    for k in range(60, 400):
        content[k] ^= 255
    path.write_bytes(content)
    with pytest.raises(ScanError, match=r"damaged\.npz: damaged \.npz archive \(Error -3"):
        read(path)


def test_archives_are_unpacked_as_far_as_needed(tmp_path: Path) -> None:
    m = files.made()
    path = tmp_path / "bomb.npz"
    np.savez(path, data=m.data, flats=m.flats, darks=m.darks, angles=m.angles)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros.npy", "w") as member:
        for _ in range(64):
            member.write(bytes(1 << 24))  # 1 GiB
    assert path.stat().st_size < 1 << 21
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    np.testing.assert_allclose(read(path).sinogram(0), m.lines[:, 0], atol=1e-6)
    # kibibytes; a hundredth of what was not asked for
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10 << 10


def test_the_sum_of_the_members_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m = files.made()
    path = tmp_path / "sum.npz"
    np.savez(path, data=m.data, flats=m.flats, darks=m.darks, angles=m.angles)
    largest = m.data.nbytes + 200  # each member fits, all together do not
    monkeypatch.setattr("varinv.scan.errors.room", lambda: largest)
    with pytest.raises(ScanError, match=r"sum\.npz: what is needed of the archive needs"):
        read(path)


@pytest.mark.parametrize("angles", [[0, np.nan, 1] * 8, [1e300 * k for k in range(24)], [0.7] * 24, [np.inf] * 24])
def test_absurd_angles(angles: list[float], tmp_path: Path) -> None:
    m = files.made()
    for units in ("degrees", "radians", None):
        with pytest.raises(ScanError, match=r"a\.h5: .*angles"):
            read(files.exchange(tmp_path / "a.h5", m, theta=angles, units=units))
    np.savez(tmp_path / "a.npz", data=m.lines, angles=angles)
    (tmp_path / "angles.txt").write_text("\n".join(map(repr, map(float, angles))))
    for source, given in ((tmp_path / "a.npz", None), (m.lines, tmp_path / "angles.txt")):
        with pytest.raises(ScanError, match=r"a\.npz|angles\.txt"):
            read(source, angles=given)


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\n"
    for name in (evil + "no.h5", evil + "bad.npy"):
        if "bad" in name:
            (tmp_path / name).write_bytes(b"\x93NUMPY")
        with pytest.raises(ScanError) as caught:
            read(tmp_path / name)
        assert str(caught.value).isprintable()
        assert r"\x1b]0;owned\x07" in str(caught.value)
    with h5py.File(tmp_path / "names.h5", "w") as file:
        file[evil.replace("/", "")] = np.zeros(3)
    scipy.io.savemat(tmp_path / "a.mat", {"image": np.zeros((5, 5))})
    with pytest.raises(ScanError) as caught:
        read(tmp_path / "names.h5")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("error", [AttributeError("x"), RecursionError("x"), OverflowError("x"), IndexError("x")])
def test_whatever_a_library_raises_is_one_error(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    path = files.exchange(tmp_path / "a.h5", files.made())
    monkeypatch.setattr("varinv.scan.exchange.read_exchange", broken)
    with pytest.raises(ScanError, match=rf"a\.h5: damaged .*{type(error).__name__}: x"):
        read(path)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_what_is_no_fault_of_the_file_passes(error: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise error

    path = files.exchange(tmp_path / "a.h5", files.made())
    monkeypatch.setattr("varinv.scan.exchange.read_exchange", stopped)
    with pytest.raises(error):
        read(path)
