"""What the numbers are: decided from evidence, said, doubted aloud where it is not clear-cut, overridden by kind=."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scan_files as files
import tifffile

import varinv as vi
from varinv import phantom
from varinv.scan import ScanError, ScanWarning, kinds, read

COUNTS, TRANSMISSION, LINES, EMISSION = "counts", "transmission", "line integrals", "emission"
VIEWS = 60
ANGLES = np.linspace(0, np.pi, VIEWS, endpoint=False)


def lines(seed: int, n: int = 96, off: float = 0.0, radius: float = 0.375) -> np.ndarray:
    """Line integrals of ellipses with peak 2; a radius above 0.5 reaches beyond the detector."""
    g = vi.ParallelBeam(ANGLES, n, axis=(n - 1) / 2 + off)
    s = np.asarray(phantom.random_ellipses(seed, radius * n).line_integrals(g))
    return 2 * s / s.max()


def opened(data: Any, **arguments: Any) -> tuple[str, list[str]]:
    """The kind that `read` takes, "refused", and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            kind = read(data, angles=ANGLES, **arguments).raw.kind
        except ScanError as error:
            kind = "refused" if "kind='line integrals'" in str(error) else str(error)
    assert all(w.category is ScanWarning for w in caught)
    return kind, [str(w.message) for w in caught]


def made(what: str, s: np.ndarray, rng: np.random.Generator, noise: float) -> np.ndarray:
    """Line integrals s as instruments and programs hand them out; noise is a share of the peak."""
    z = 2 * noise * rng.standard_normal(s.shape)
    through = np.exp(-s) + z / 6
    return {
        "line integrals": s + z,
        "weak line integrals": 0.03 * (s + z),
        "line integrals, arbitrary scale, float32": (1500 * (s + z)).astype(np.float32),
        "logarithm to base 10": (s + z) / np.log(10),
        "transmission": through,
        "weak transmission": (np.exp(-0.15 * s) + z / 40).astype(np.float32),
        "averaged counts, float32": (30000 * through).astype(np.float32),
        "transmission in percent": 100 * through,
        "transmission, 8 bits": np.clip(255 * through, 0, 255).astype(np.uint8),
        "transmission, 16 bits": np.clip(65535 * through, 0, 65535).astype(np.uint16),
        "counts": rng.poisson(2000 * np.exp(-s)),
        "counts as float64": rng.poisson(2000 * np.exp(-s)).astype(np.float64),
        "emission counts": rng.poisson(30 * s),
        "line integrals, 16 bits": np.clip(32000 * s, 0, 65535).astype(np.uint16),
        "HAADF": 800 + 1200 * (s + z),
        "logarithm without its sign": -(s + z),
    }[what]


CLEAR = {
    "line integrals": LINES, "weak line integrals": LINES, "line integrals, arbitrary scale, float32": LINES,
    "logarithm to base 10": LINES, "transmission": TRANSMISSION, "weak transmission": TRANSMISSION,
    "averaged counts, float32": COUNTS, "transmission in percent": COUNTS, "transmission, 8 bits": COUNTS,
    "transmission, 16 bits": COUNTS, "counts": COUNTS, "counts as float64": COUNTS,
}  # fmt: skip
DOUBTED = {  # what is taken, and what else it may be
    "emission counts": (EMISSION, "line integrals"),
    "line integrals, 16 bits": (LINES, "emission"),
    "HAADF": (EMISSION, "line integrals"),
    "logarithm without its sign": (LINES, "sign of a logarithm"),
}


@pytest.mark.parametrize("what", CLEAR)
def test_clear_cut_kinds_are_taken_without_a_warning(what: str) -> None:
    rng = np.random.default_rng(0)
    for seed, off, noise, n in ((1, 0.0, 0.0, 96), (2, 3.3, 0.02, 96), (3, -20.0, 0.05, 128), (4, 0.4, 0.05, 40)):
        data = made(what, lines(seed, n, off), rng, noise)
        assert opened(data) == (CLEAR[what], []), (seed, off, noise)


@pytest.mark.parametrize("what", DOUBTED)
def test_what_is_not_clear_cut_is_doubted_aloud(what: str) -> None:
    rng = np.random.default_rng(0)
    kind, words = DOUBTED[what]
    for seed, noise in ((1, 0.0), (2, 0.03), (5, 0.05)):
        found, said = opened(made(what, lines(seed), rng, noise))
        assert found == kind
        assert len(said) == 1
        assert words in said[0]
        assert "otherwise pass kind=" in said[0]


def test_truncated_line_integrals_are_no_false_alarm() -> None:
    rng = np.random.default_rng(0)
    for seed in (1, 2, 3):
        for noise in (0.0, 0.02, 0.05):
            s = lines(seed, radius=0.7)
            assert opened(made("line integrals", s, rng, noise)) == (LINES, [])
            # without air nothing shows the level of the beam: transmissions are taken, and doubted
            found, said = opened(made("transmission", s, rng, noise))
            assert (found, len(said)) == (TRANSMISSION, 1)


def test_nothing_decides() -> None:
    rng = np.random.default_rng(0)
    for nothing in (np.full((VIEWS, 50), 0.7), 5 + 0.1 * rng.standard_normal((VIEWS, 50))):
        assert opened(nothing)[0] == "refused"
        for kind in (LINES, EMISSION):
            assert opened(nothing, kind=kind) == (kind, [])
    assert opened(np.zeros((VIEWS, 50))) == (LINES, [])  # a row beside the object


WRONG = [  # numbers, the kind that is claimed
    ("transmission", LINES), ("averaged counts, float32", LINES), ("counts", LINES), ("counts", EMISSION),
    ("transmission", EMISSION), ("line integrals", TRANSMISSION), ("counts", TRANSMISSION), ("HAADF", TRANSMISSION),
    ("line integrals", COUNTS), ("emission counts", COUNTS),
]  # fmt: skip


@pytest.mark.parametrize(("what", "claimed"), WRONG)
def test_a_wrong_kind_is_doubted_aloud(what: str, claimed: str) -> None:
    rng = np.random.default_rng(0)
    for seed in (1, 2, 3):
        found, said = opened(made(what, lines(seed), rng, 0.02), kind=claimed)
        assert found == claimed
        assert len(said) == 1
        assert "as given, but" in said[0]


def test_a_right_kind_is_not_doubted() -> None:
    rng = np.random.default_rng(0)
    for what, kind in {
        **CLEAR,
        "emission counts": EMISSION,
        "HAADF": EMISSION,
        "line integrals, 16 bits": LINES,
    }.items():
        for seed, radius in ((1, 0.375), (2, 0.7)):
            assert opened(made(what, lines(seed, radius=radius), rng, 0.02), kind=kind) == (kind, []), what


def test_flats_beside_numbers_that_are_no_counts() -> None:
    rng = np.random.default_rng(0)
    s = lines(1)
    assert opened(made("counts", s, rng, 0), flats=np.full((3, 1, 96), 2000.0)) == (COUNTS, [])
    for what, words in (("transmission", "divided by the flats already"), ("line integrals", "divided by the flats")):
        _, said = opened(made(what, s, rng, 0), flats=np.full((3, 1, 96), 20000.0))
        assert words in said[0]
    _, said = opened(made("line integrals", s, rng, 0), flats=1.0)
    assert "counts are fewer behind an object" in said[0]


def test_each_kind_gives_the_line_integrals() -> None:
    s = lines(1)
    exact = 1e-6  # float32 of numbers up to 2
    through = np.exp(-s)
    for data, arguments in (
        (s, {}),
        (through, {}),
        (through, {"flats": 1.0}),
        (60000 * through, {"flats": 60000}),
        (60000 * through + 100, {"flats": 60100, "darks": 100}),
        (s, {"kind": EMISSION}),
    ):
        scan = read(data, angles=ANGLES, axis=47.5, **arguments)
        np.testing.assert_allclose(scan.sinogram(0), s, atol=exact)
    # a bin of transmissions is their mean, as for counts; of line integrals and emissions the mean of those
    halves = through.reshape(VIEWS, -1, 2)
    np.testing.assert_allclose(read(through, angles=ANGLES).bin(2).sinogram(0), -np.log(halves.mean(2)), atol=exact)
    np.testing.assert_allclose(read(s, angles=ANGLES).bin(2).sinogram(0), s.reshape(VIEWS, -1, 2).mean(2), atol=exact)
    shining = s + 0.3
    kept = read(shining, angles=ANGLES, kind=EMISSION).using(air=True).sinogram(0)
    np.testing.assert_allclose(kept, shining, atol=exact)  # the background is not forced to 0
    shining[3, 40] = np.nan
    assert not read(shining, angles=ANGLES, kind=EMISSION).valid(0)[3, 40]


@pytest.mark.parametrize("scale", [1.0, 30000.0])
def test_float_frames_of_transmissions_and_of_averaged_counts(scale: float, tmp_path: Path) -> None:
    """TIFF frames without flats: once the image was that of exp(−s), silently."""
    s = lines(1)
    data = (scale * (np.exp(-s) + 0.005 * np.random.default_rng(0).standard_normal(s.shape))).astype(np.float32)
    for v in range(VIEWS):
        tifffile.imwrite(tmp_path / f"p_{v:03d}.tif", data[v][None])
    scan = read(tmp_path, angles=ANGLES, axis=47.5)
    if scale == 1:
        assert scan.raw.kind == TRANSMISSION
        assert "transmission: fractional numbers from" in scan.report
        # noise 0.005 of air, behind e^-2: five standard deviations in line integrals
        assert np.abs(scan.sinogram(0) - s).max() < 5 * 0.005 * np.exp(2)
        return
    with pytest.raises(ScanError, match=r"counts without flats; pass flats= to read .*as a number.* kind="):
        scan.sinogram(0)
    level = read(tmp_path, angles=ANGLES, axis=47.5, flats=scale)
    assert np.abs(level.sinogram(0) - s).max() < 5 * 0.005 * np.exp(2)


def test_what_the_file_says(tmp_path: Path) -> None:
    m = files.made(rows=1)
    kinds = {"counts": COUNTS, "Transmission": TRANSMISSION, "attenuation (-log)": LINES, "1/mm": LINES}
    import h5py

    for unit, kind in kinds.items():
        path = tmp_path / f"{kind}.h5"
        data = {COUNTS: m.data, TRANSMISSION: np.exp(-m.lines), LINES: m.lines}[kind]
        files.exchange(path, m, data=data, data_white=None, data_dark=None)
        with h5py.File(path, "a") as file:
            file["exchange/data"].attrs["units"] = unit
        scan = read(path)
        assert scan.raw.kind == kind
        assert f"{kind}: as the file says" in scan.report or unit == "1/mm"
    # kind= overrides, and the flats of the file are then of no use
    scan = read(files.exchange(tmp_path / "a.h5", m, data=m.lines), kind=LINES)
    np.testing.assert_allclose(scan.sinogram(0), m.lines[:, 0], atol=1e-6)
    assert "flats and darks of the file are not used" in scan.report
    with pytest.raises(ValueError, match="flats and darks belong to kind='counts', not to 'emission'"):
        read(tmp_path / "a.h5", kind=EMISSION, flats=m.flats)


def test_the_right_real_scans_raise_no_alarm(data: Path) -> None:
    i13 = data / "ct_i13_tiff_and_nxtomo"
    right = {
        data / "ct_tooth_parallel_h5" / "tooth.h5": COUNTS,
        data / "ct_htc2022_fan_ta" / "htc2022_ta_sparse_example.mat": LINES,
        data / "ct_htc2022_fan_ta" / "ta_subsample73_v73.mat": LINES,
        data / "ct_dendrites_roi_mat" / "RealDataDend.mat": LINES,
        i13 / "i13_24737_assembled_nxtomo.nxs": COUNTS,
        i13 / "tiffs": COUNTS,
        data / "nexus_loader_samples" / "k11-18014.nxs": COUNTS,
    }
    for path, kind in right.items():
        flats = {"flats": i13 / "flat_00001.tiff", "darks": i13 / "dark_00001.tiff"} if path.name == "tiffs" else {}
        assert read(path, **flats).raw.kind == kind  # a warning would be an error


def test_looking_is_cheap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most a million numbers, and of a file of 2 TiB not more."""
    import h5py

    from varinv.scan import kinds

    seen: list[int] = []
    judge = kinds.judge
    monkeypatch.setattr(kinds, "judge", lambda a, *rest: seen.append(a.size) or judge(a, *rest))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        big = file.create_dataset("exchange/data", (1000, 1 << 20, 1000), "u2", chunks=(10, 1, 1000))
        big[0, 0] = 7
    read(tmp_path / "a.h5")
    assert seen == [12 * 5 * 1000]


@pytest.mark.parametrize("seen", [True, False])
def test_transmissions_are_sure_where_air_is_seen_at_one(seen):
    """Edges near 1 that are no air may be those of truncated line integrals: taken, but not without a word."""
    evidence = kinds.Evidence(low=0.2, high=1.05, air=1.0, seen=seen, darker=0.6, brighter=0.0, noise=0.01, whole=False)
    found = kinds.decide(evidence, whole=False)
    assert found.kind == TRANSMISSION
    assert bool(found.others) != seen
