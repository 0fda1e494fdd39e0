"""Full disks, limits, lost permissions, links: no writer of files dies, and what was there stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from matplotlib.figure import Figure

import varinv as vi
from varinv import image_files, plot
from varinv.files import Patient, replaced

SCRIPT = Path(__file__).parents[1] / "helpers" / "full_disk.py"
KINDS = ["h5", "large h5", "tif", "zarr", "png", "html", "npz"]
RESULT = vi.solve(vi.L2Squared(np.arange(12.0).reshape(3, 4)), stop=vi.iterations(1))


TRIES = int(os.environ.get("VARINV_TRIES", "8"))  # random sizes; thirty are measured in docs/reliability.md


def tried(kind: str, folder: Path, how: str, tries: int = TRIES) -> None:
    """Run the writer in a process of its own, which a signal may kill."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), kind, str(folder), how, str(tries)], capture_output=True, text=True
    )
    assert done.returncode == 0, f"{kind}: exit {done.returncode}\n{done.stderr[-2000:]}"
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == []
    assert found["told"] >= tries // 2  # most of the random sizes are smaller than the file
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_random_limits_on_the_size_of_files(kind, tmp_path):
    pytest.importorskip("resource", reason="this system has no limits on the size of files")
    tried(kind, tmp_path, "limit")


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_full_disks_of_random_size(kind, small_disk):
    folder = small_disk / kind.replace(" ", "-")
    folder.mkdir()
    tried(kind, folder, "disk")


@pytest.mark.parametrize("name", ["x.h5", "x.tif", "x.zarr"])
def test_what_a_writer_stumbles_on_becomes_one_sentence(name, tmp_path, monkeypatch):
    """Permission lost while it writes: the class and the number of the system's error stay."""
    RESULT.save(tmp_path / name)

    def refused(*rest):
        raise PermissionError(13, "Permission denied", "/secret/part")

    for writer in ("_write_hdf5", "_write_tiff", "_write_zarr"):
        monkeypatch.setattr(image_files, writer, refused)
    with pytest.raises(PermissionError, match=rf"{name} cannot be written: Permission denied; the one before") as told:
        RESULT.save(tmp_path / name)
    assert told.value.errno == 13
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_write_protected_file_is_kept(tmp_path, monkeypatch):
    path = RESULT.save(tmp_path / "x.h5")
    before = path.read_bytes()
    path.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda place, mode: False)  # as it is for everybody but root
    with pytest.raises(PermissionError, match="write-protected"):
        RESULT.save(path)
    assert path.read_bytes() == before


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "store").mkdir()
    real = RESULT.save(tmp_path / "store" / "real.h5")
    real.write_bytes(b"old")
    link = tmp_path / "x.h5"
    link.symlink_to(real)
    RESULT.save(link)
    assert link.is_symlink()
    with h5py.File(real) as file:
        assert file["image"].shape == (3, 4)
    nowhere = tmp_path / "new.tif"
    nowhere.symlink_to(tmp_path / "store" / "made.tif")
    RESULT.save(nowhere)
    assert nowhere.is_symlink()
    assert sorted(p.name for p in (tmp_path / "store").iterdir()) == ["made.tif", "real.h5"]
    circle = tmp_path / "circle.h5"
    circle.symlink_to(circle)
    with pytest.raises(OSError, match="circle"):
        RESULT.save(circle)


def test_pipes_folders_and_other_peoples_folders_are_no_places_for_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(OSError, match="pipe or device"):
        RESULT.save(tmp_path / "pipe.h5")
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        RESULT.save(tmp_path / "folder.tif")
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "notes.txt").write_text("kept")
    with pytest.raises(FileExistsError, match="no Zarr store"):
        RESULT.save(tmp_path / "mine.zarr")
    assert (tmp_path / "mine.zarr" / "notes.txt").read_text() == "kept"


def test_permissions_come_from_the_system_and_nobody_touches_the_umask(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask belongs to the whole process"))
        path = RESULT.save(tmp_path / "x.h5")
        assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o600)
        assert RESULT.save(path).stat().st_mode & 0o777 == 0o600  # who hid a file wants the next one hidden
    finally:
        monkeypatch.undo()
        os.umask(before)


def test_two_writers_at_once_leave_one_whole_file(tmp_path):
    threads = [threading.Thread(target=lambda: [RESULT.save(tmp_path / "x.h5") for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5"]
    with h5py.File(tmp_path / "x.h5") as file:
        assert np.array_equal(file["image"][()], RESULT.x)


def test_a_stop_from_outside_leaves_nothing(tmp_path):
    def stopped() -> None:
        with replaced(tmp_path / "x.txt") as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(tmp_path.iterdir()) == []


def test_large_files_are_the_same_as_small_ones(tmp_path, monkeypatch):
    x = np.random.default_rng(0).random((7, 60, 50))
    metadata = {"geometry": {"angles": np.arange(5000.0), "pixel_size": 0.5}, "checks": ["a doubt"] * 200}
    history = tuple({"k": k, "gap": 1 / k} for k in range(1, 3000))
    image_files.save_image(tmp_path / "small.h5", x, metadata, history)
    monkeypatch.setattr(image_files, "IN_MEMORY", 0)
    image_files.save_image(tmp_path / "large.h5", x, metadata, history)
    with h5py.File(tmp_path / "small.h5") as a, h5py.File(tmp_path / "large.h5") as b:
        for name in ("image", "geometry/angles", "checks", "history/gap"):
            assert np.array_equal(a[name][()], b[name][()])


def test_the_file_for_large_images_behaves_as_a_file(tmp_path):
    path = tmp_path / "x"
    path.touch()
    with Patient(path) as disk:
        disk.write(b"0123456789")
        disk.seek(2)
        disk.write(b"ab")
        disk.seek(0)
        assert disk.read(20) == b"01ab456789"
        disk.seek(12)
        disk.write(b"z")  # a gap reads as zeros
        disk.truncate(13)
        disk.seek(9)
        assert disk.read() == b"9\0\0z"
    disk.check()
    assert path.read_bytes() == b"01ab456789\0\0z"


def test_a_picture_of_somebody_else_is_not_replaced(tmp_path):
    assert plot.beside(tmp_path / "x.h5") == tmp_path / "x.png"
    RESULT.plot(tmp_path / "x.png")
    assert plot.beside(tmp_path / "x.h5") == tmp_path / "x.png"  # our own is renewed
    Figure().savefig(tmp_path / "x.png")
    assert plot.beside(tmp_path / "x.h5") == tmp_path / "x-varinv.png"
    (tmp_path / "x-varinv.png").write_bytes(b"holiday")
    assert plot.beside(tmp_path / "x.h5") == tmp_path / "x-varinv-2.png"
