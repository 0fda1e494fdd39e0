"""Files of instruments: MRC, Zeiss, Nikon, SkyScan, FITS, EDF.  Each gives the numbers, angles and lengths it holds."""

from __future__ import annotations

import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import ole_file
import pytest
import tifffile

from varinv.scan import ScanError, ScanWarning, read

pytestmark = pytest.mark.filterwarnings("ignore:.*are a cone beam")  # the scans of laboratories are
RNG = np.random.default_rng(0)
VIEWS, ROWS, COLUMNS = 12, 5, 48
# smooth frames, as an object gives them: neighbours differ little
U, V = np.meshgrid(np.linspace(-1, 1, COLUMNS), np.linspace(-1, 1, ROWS))
FRAMES = np.stack([30000 - 20000 * np.exp(-4 * ((U - 0.02 * k) ** 2 + V**2)) for k in range(VIEWS)]).astype(np.uint16)
TILTS = np.linspace(-60, 50, VIEWS)


def same(scan: Any, frames: np.ndarray, angles: np.ndarray) -> None:
    """The numbers and angles are these, rows and views can be chosen, and the scan travels to other processes."""
    assert scan.shape == frames.shape
    picked = np.array([7, 0, 3, 3])
    for found in (scan, pickle.loads(pickle.dumps(scan))):
        np.testing.assert_array_equal(found.raw.frames.read(picked, slice(1, 4)), frames[picked, 1:4])
    assert scan.raw.frames.read(picked[:1], slice(None)).dtype == frames.dtype.newbyteorder("=")
    np.testing.assert_allclose(np.rad2deg(scan.angles), angles, atol=1e-4)  # float32 degrees of up to 360


# ------------------------------------------------------------------------------------------------------------ MRC


def mrc(path: Path, data: np.ndarray, **header: Any) -> Path:
    mrcfile = pytest.importorskip("mrcfile")
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(data)
        file.voxel_size = header.pop("voxel", 4.2)
    return path


@pytest.mark.parametrize("dtype", ["u2", "i2", "f4", "i1"])
def test_mrc(dtype: str, tmp_path: Path) -> None:
    frames = (FRAMES // (512 if dtype == "i1" else 1)).astype(dtype)
    path = mrc(tmp_path / "a.mrc", frames)
    (tmp_path / "a.rawtlt").write_text("\n".join(f"{t:.2f}" for t in TILTS))
    scan = read(path)
    same(scan, frames, TILTS.round(2))
    assert (scan.unit, round(scan.spacing, 6)) == ("nm", 0.42)
    assert "tilt angles from a.rawtlt" in scan.report


@pytest.mark.parametrize("base", [25000, 50000])
def test_unsigned_numbers_under_the_signed_mode_are_seen(base: int, tmp_path: Path) -> None:
    frames = (FRAMES // 2 + base).astype(np.uint16)  # 30000 … 40000 wraps within a frame, 55000 … 65000 everywhere
    path = mrc(tmp_path / "a.st", frames.view(np.int16))
    why = "% of neighbours jump" if base == 25000 else "all numbers are negative"
    with pytest.warns(ScanWarning, match=f"{why}.*read as unsigned"):
        scan = read(path, angles=np.deg2rad(TILTS))
    same(scan, frames, TILTS)
    signed = (20000 - FRAMES.astype(np.int32)).astype(np.int16)  # of both signs: no wrap
    same(read(mrc(tmp_path / "b.st", signed), angles=np.deg2rad(TILTS), kind="emission"), signed, TILTS)


def test_angles_beside_an_mrc_file(tmp_path: Path) -> None:
    (tmp_path / "s.tlt").write_text("\n".join(str(t + 1) for t in TILTS))
    (tmp_path / "s.rawtlt").write_text("\n".join(map(str, TILTS)))
    same(read(mrc(tmp_path / "s.st", FRAMES)), FRAMES, TILTS)
    same(read(mrc(tmp_path / "s.ali", FRAMES)), FRAMES, TILTS + 1)
    same(read(mrc(tmp_path / "s_ali.mrc", FRAMES)), FRAMES, TILTS + 1)
    with pytest.raises(ScanError, match="no angles; pass angles="):
        _ = read(mrc(tmp_path / "t.mrc", FRAMES)).angles
    sections = "".join(f"[ZValue = {k}]\nTiltAngle = {t:.4f}\nStagePosition = 1 2\n\n" for k, t in enumerate(TILTS))
    (tmp_path / "t.mrc.mdoc").write_text("PixelSpacing = 4.2\n\n[T = SerialEM]\n\n" + sections)
    same(read(tmp_path / "t.mrc"), FRAMES, TILTS)
    turned = sections.replace("StagePosition", "RotationAngle = 84.1\nStagePosition")
    (tmp_path / "t.mrc.mdoc").write_text("PixelSpacing = 4.2\n\n" + turned)
    with pytest.warns(ScanWarning, match=r"tilt axis stands 84\.1 degrees off"):
        read(tmp_path / "t.mrc")


# ---------------------------------------------------------------------------------------------------------- Zeiss


TO_AND_FRO = np.concatenate([FRAMES, FRAMES[::-1]] * 5)  # 120 views without a jump


def zeiss(path: Path, **changes: Any) -> Path:
    """A scan of 120 views, so that the images stand in two folders."""
    images = TO_AND_FRO
    content: dict[str, Any] = {
        "ImageInfo/ImageWidth": np.uint32(COLUMNS), "ImageInfo/ImageHeight": np.uint32(ROWS),
        "ImageInfo/NoOfImages": np.uint32(120), "ImageInfo/DataType": np.uint32(5),
        "ImageInfo/Angles": np.linspace(-180, 180, 120, dtype=np.float32),
        "ImageInfo/PixelSize": np.float32(10), "ImageInfo/StoRADistance": np.full(120, -40, np.float32),
        "ImageInfo/DtoRADistance": np.full(120, 60, np.float32),
        "ReferenceData/Image": np.full((ROWS, COLUMNS), 32000, np.float32), "ReferenceData/DataType": np.uint32(10),
        **{f"ImageData{k // 100 + 1}/Image{k + 1}": image for k, image in enumerate(images)}, **changes,
    }  # fmt: skip
    return ole_file.write(path, {name: np.asarray(v).tobytes() for name, v in content.items() if v is not None})


def test_zeiss(tmp_path: Path) -> None:
    pytest.importorskip("olefile")
    scan = read(zeiss(tmp_path / "a.txrm"))
    same(scan, TO_AND_FRO, np.linspace(-180, 180, 120))
    assert scan.unit == "mm"
    np.testing.assert_allclose([*scan.raw.distances, scan.spacing], [40, 60, 0.025])  # 10 µm, magnified 2.5 times
    np.testing.assert_allclose(scan.sinogram(2)[:12], -np.log(FRAMES[:, 2] / 32000), atol=1e-6)
    floats = {f"ImageData{k // 100 + 1}/Image{k + 1}": np.float32(TO_AND_FRO[k]) for k in range(120)}
    plain = read(zeiss(tmp_path / "b.txrm", **floats, **{"ImageInfo/DataType": np.uint32(10), "ReferenceData/Image":
                 None, "ImageInfo/StoRADistance": None}))  # fmt: skip
    same(plain, TO_AND_FRO.astype(np.float32), np.linspace(-180, 180, 120))
    assert plain.raw.distances is None
    assert plain.spacing == pytest.approx(0.01)


def test_zeiss_scans_that_were_stopped_or_shifted(tmp_path: Path) -> None:
    pytest.importorskip("olefile")
    with pytest.warns(ScanWarning, match="104 of 120 images are there"):
        scan = read(zeiss(tmp_path / "a.txrm", **{f"ImageData2/Image{k}": None for k in range(105, 121)}))
    np.testing.assert_allclose(np.rad2deg(scan.angles), np.linspace(-180, 180, 120)[:104], atol=1e-4)
    with pytest.warns(ScanWarning, match="shifts of the frames of up to 3 columns"):
        read(zeiss(tmp_path / "b.txrm", **{"alignment/X-Shifts": np.linspace(-3, 3, 120, dtype=np.float32)}))


def test_a_folder_of_zeiss_frames(tmp_path: Path) -> None:
    pytest.importorskip("olefile")
    only = {f"ImageData{k // 100 + 1}/Image{k + 1}": None for k in range(1, 120)}
    for k, frame in enumerate([*FRAMES, np.full((ROWS, COLUMNS), 32000, np.uint16)]):
        name = f"sample_{k}.xrm" if k < VIEWS else "sample_ref_0.xrm"
        one = {"ImageData1/Image1": frame, "ImageInfo/NoOfImages": np.uint32(1),
               "ImageInfo/Angles": np.float32(TILTS[k % VIEWS])}  # fmt: skip
        zeiss(tmp_path / name, **only, **one)
    scan = read(tmp_path)
    same(scan, FRAMES, TILTS)
    np.testing.assert_allclose(scan.sinogram(2), -np.log(FRAMES[:, 2] / 32000), atol=1e-6)


# --------------------------------------------------------------------------------------------------- Nikon, SkyScan


def nikon(folder: Path, table: str = "", **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for k, frame in enumerate(FRAMES, 1):
        tifffile.imwrite(folder / f"part A_{k:04d}.tif", frame)
    stated = {
        "Name": "part A", "InputSeparator": "_", "SrcToObject": 120.0, "SrcToDetector": 480.0, "Projections": VIEWS,
        "DetectorPixelsX": COLUMNS, "DetectorPixelsY": ROWS, "DetectorPixelSizeX": 0.2, "DetectorPixelSizeY": 0.2,
        "InitialAngle": 10.0, "AngularStep": 30.0, "WhiteLevel": 60000.0, "Units": "mm", **changes,
    }  # fmt: skip
    path = folder / "part A.xtekct"
    path.write_text("[XTekCT]\n" + "".join(f"{k}={v}\n" for k, v in stated.items() if v is not None))
    if table:
        (folder / "part A_ctdata.txt").write_text(table)
    return path


def test_nikon(tmp_path: Path) -> None:
    scan = read(nikon(tmp_path / "a"))
    same(scan, FRAMES, -10 - 30.0 * np.arange(VIEWS))
    assert (scan.raw.distances, scan.spacing, scan.unit) == ((120, 360), 0.2, "mm")
    np.testing.assert_allclose(scan.sinogram(2), -np.log(FRAMES[:, 2] / 60000), atol=1e-6)
    heading = "Projections\tFrames\tExposure\n12\t4\t500\nProjection\tAngle(deg)\tTime(s)\n"
    table = "".join(f"{k + 1}\t{10 + 30.1 * k:.3f}\t{k}\n" for k in range(VIEWS))
    same(read(nikon(tmp_path / "b", heading + table)), FRAMES, -10 - 30.1 * np.arange(VIEWS))
    with pytest.warns(ScanWarning, match="not those of AngularStep 3"):
        read(nikon(tmp_path / "b", AngularStep=3.0))
    (tmp_path / "b" / "part A_ctdata.txt").unlink()
    (tmp_path / "b" / "part A.ang").write_text("Proj\tAngle\n" + "".join(f"{k + 1}:\t{5 * k}\n" for k in range(VIEWS)))
    same(read(nikon(tmp_path / "b", AngularStep=None)), FRAMES, -5.0 * np.arange(VIEWS))


def skyscan(folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for k, frame in enumerate(FRAMES):
        tifffile.imwrite(folder / f"tooth{k:08d}.tif", frame)
    tifffile.imwrite(folder / "tooth_spr.tif", FRAMES[0])
    stated = {
        "Scanner": "SkyScan1272", "Camera Pixel Size (um)": 7.4, "Filename Prefix": "tooth", "Filename Index Length": 8,
        "Number Of Files": VIEWS, "Number Of Rows": ROWS, "Number Of Columns": COLUMNS, "Optical Axis (line)": 2,
        "Camera to Source (mm)": 200.0, "Object to Source (mm)": 50.0, "Image Pixel Size (um)": 8.0,
        "Reference Intensity": 57000, "Rotation Step (deg)": 0.6, "Flat Field Correction": "ON",
        "Rotation Direction": "CC", **changes,
    }  # fmt: skip
    path = folder / "tooth.log"
    lines = "".join(f"{k}= {v}\r\n" for k, v in stated.items() if v is not None)
    path.write_text("[System]\r\n" + lines + "[Reconstruction]\r\nPixel Size (um)=1\r\n", newline="")
    return path


def test_skyscan(tmp_path: Path) -> None:
    scan = read(skyscan(tmp_path / "a"))
    same(scan, FRAMES, 0.6 * np.arange(VIEWS))
    np.testing.assert_allclose([*scan.raw.distances, scan.spacing], [50, 150, 0.032])
    np.testing.assert_allclose(scan.sinogram(2), -np.log(FRAMES[:, 2] / 57000), atol=1e-6)
    same(read(skyscan(tmp_path / "a", **{"Rotation Direction": "CW"})), FRAMES, -0.6 * np.arange(VIEWS))
    optical = read(skyscan(tmp_path / "a", **{"Object to Source (mm)": 100000, "Camera to Source (mm)": 100000}))
    assert optical.raw.distances is None
    with pytest.warns(ScanWarning, match="12 of 40 frames"):
        read(skyscan(tmp_path / "a", **{"Number Of Files": 40}))


@pytest.mark.parametrize(("write", "row"), [(nikon, 2), (skyscan, 2)])
def test_cones_are_said_to_be_cones(write: Any, row: int, tmp_path: Path) -> None:
    with pytest.warns(ScanWarning, match=f"5 detector rows and distances are a cone beam: only row {row} "):
        read(write(tmp_path))


def test_settings_are_found_in_the_folder_of_the_frames(tmp_path: Path) -> None:
    for write, distances in ((nikon, (120, 360)), (skyscan, (50, 150))):
        folder = write(tmp_path / write.__name__).parent
        (folder / "other_rec.log").write_text("[System]\nScanner=SkyScan1\n")
        scan = read(folder)
        assert scan.raw.distances == distances
        assert "in this folder" in scan.report
        assert scan.shape == FRAMES.shape


# ------------------------------------------------------------------------------------------------------- FITS, EDF


def one_file(kind: str, path: Path, frames: np.ndarray) -> None:
    if kind == "fits":
        from astropy.io import fits

        fits.PrimaryHDU(frames).writeto(path)
    else:
        from fabio.edfimage import EdfImage

        image = EdfImage(data=frames if frames.ndim == 2 else frames[0])
        for more in frames[1:] if frames.ndim == 3 else ():
            image.append_frame(data=more)
        image.write(str(path))
        image.close()


@pytest.mark.parametrize("kind", ["fits", "edf"])
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_files_and_folders_of_frames(kind: str, dtype: str, tmp_path: Path) -> None:
    pytest.importorskip({"fits": "astropy", "edf": "fabio"}[kind])
    frames = FRAMES.astype(dtype)
    one_file(kind, tmp_path / f"a.{kind}", frames)
    same(read(tmp_path / f"a.{kind}", angles=np.deg2rad(TILTS)), frames, TILTS)
    folder = tmp_path / "sample"
    for name in ("fe", "ob", "di"):
        (folder / name).mkdir(parents=True)
    for k, frame in enumerate(frames):
        one_file(kind, folder / "fe" / f"fe_10s_{k}_{0.9 * k:.1f}deg.{kind}", frame)
    for k, name in enumerate(("ob", "ob", "di")):
        one_file(
            kind, folder / name / f"{name}_{k}.{kind}", np.full((ROWS, COLUMNS), 40000 if name == "ob" else 100, dtype)
        )
    scan = read(folder)
    same(scan, frames, 0.9 * np.arange(VIEWS))
    np.testing.assert_allclose(scan.sinogram(2), -np.log((FRAMES[:, 2] - 100.0) / 39900), atol=1e-6)
    again = read(folder / "fe", flats=folder / "ob", darks=folder / "di" / f"di_2.{kind}")
    np.testing.assert_array_equal(again.sinogram(2), scan.sinogram(2))
    (folder / "fe" / f"fe_10s_3_2.7deg.{kind}").unlink()
    with pytest.warns(ScanWarning, match="missing from the numbering: 3"):
        read(folder)
    one_file(kind, folder / "fe" / f"fe_10s_3_2.7deg.{kind}", frames[3, 1:])
    with pytest.raises(ScanError, match=rf"fe_10s_3_2\.7deg\.{kind} has shape \(4, 48\)"):
        read(folder)


# ---------------------------------------------------------------------------------------------------------- damaged


def made(kind: str, folder: Path) -> Path:
    if kind == "mrc":
        return mrc(folder / "a.mrc", FRAMES)
    if kind == "txrm":
        pytest.importorskip("olefile")
        return zeiss(folder / "a.txrm")
    if kind in ("fits", "edf"):
        pytest.importorskip({"fits": "astropy", "edf": "fabio"}[kind])
        one_file(kind, folder / f"a.{kind}", FRAMES)
        return folder / f"a.{kind}"
    return (nikon if kind == "xtekct" else skyscan)(folder)


@pytest.mark.parametrize("kind", ["mrc", "txrm", "fits", "edf", "xtekct", "log"])
def test_damaged_files_are_one_error_with_their_name(kind: str, tmp_path: Path) -> None:
    """Cut short at many places and struck by wrong bytes: a ScanError that names the file, or the right shape."""
    path = made(kind, tmp_path)
    whole = path.read_bytes()
    errors = 0
    for trial in range(40):
        damaged = bytearray(whole)
        if trial < 20:
            damaged = damaged[: len(whole) * trial // 20]
        else:
            for place in RNG.integers(0, min(len(whole), 1400), 12):
                damaged[place] = RNG.integers(256)
        path.write_bytes(damaged)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ScanWarning)  # doubts about damaged numbers are welcome
                scan = read(path, angles=None)
                scan.raw.frames.read(np.arange(scan.shape[0]), slice(0, 1))
        except ScanError as error:
            errors += path.stem in str(error)
    assert errors >= (15 if kind not in ("xtekct", "log") else 5)  # every cut of a binary file but the last few


@pytest.mark.parametrize("kind", ["mrc", "txrm", "fits", "edf"])
def test_an_absent_library_is_named_with_the_command(kind: str, tmp_path: Path, monkeypatch: Any) -> None:
    path = made(kind, tmp_path)
    needed = {"mrc": "mrcfile", "txrm": "olefile", "fits": "astropy", "edf": "fabio"}[kind]
    for name in [n for n in sys.modules if n.partition(".")[0] == needed]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, needed, None)
    with pytest.raises(ScanError, match=rf'{needed}, which is not installed: pip install "varinv\[formats\]"'):
        read(path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"SrcToObject": 500}, "not below SrcToDetector"),
        ({"DetectorPixelsX": 40}, r"states frames of \(5, 40\).*have \(5, 48\)"),
        ({"Projections": "many"}, "Projections = 'many' is no number"),
        ({"AngularStep": None}, "no AngularStep"),
        ({"Name": "other"}, r"no frames other_0001\.tif"),
    ],
)
def test_settings_that_contradict_the_frames(change: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=rf"part A\.xtekct: .*{text}"):
        read(nikon(tmp_path, **change))
