"""Containers of numbers are taken everywhere alike; masked and lazy arrays are refused with what to write."""

from __future__ import annotations

import itertools
import warnings

import h5py
import numpy as np
import pytest
from array_cases import CALLS, IMAGE, PROBLEMS, N

import varinv as vi
from varinv import check
from varinv.operators.gradient import Gradient

NAMES = itertools.count()


def hdf5(a):
    return h5py.File(f"{next(NAMES)}.h5", "w", driver="core", backing_store=False).create_dataset("a", data=a)


def imported(library, name):
    return lambda a: getattr(pytest.importorskip(library, reason=f"{library} is not installed"), name)(a)


def matrix(a):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.matrix(a)


def memory_map(a):
    return np.array(a).view(np.memmap)


HELD = {
    "xarray": imported("xarray", "DataArray"),
    "pandas": imported("pandas", "DataFrame"),
    "zarr": imported("zarr", "array"),
    "h5py": hdf5,
    "matrix": matrix,
    "memmap": memory_map,
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", HELD)
def test_containers_are_taken_everywhere_alike(kind, name):
    got, expected = CALLS[name](HELD[kind]), CALLS[name](np.array)
    assert type(got) is type(expected)
    np.testing.assert_array_equal(got, expected)


MASKED = np.ma.masked_array(IMAGE, mask=IMAGE > 0.5)


@pytest.mark.parametrize("name", CALLS)
def test_masked_arrays_are_refused(name):
    """With the mask dropped relative errors of 97 and more came out; a weight keeps it."""
    with pytest.raises(TypeError, match=r"is a masked array, .*data\.filled\(0\) with weight="):
        CALLS[name](lambda a: np.ma.masked_array(a, mask=np.asarray(a) > 0.5))


class Unread:
    """A variable of a file, as netCDF4 hands out: what it reads is masked."""

    shape, dtype, ndim = IMAGE.shape, IMAGE.dtype, 2

    def __array__(self, *args, **kwargs):
        return MASKED


def test_masks_are_found_inside_as_well():
    for data in (Unread(), [MASKED[0], MASKED[1]]):
        with pytest.raises(TypeError, match="L2Squared: y is a masked array"):
            vi.L2Squared(data)
    with pytest.raises(TypeError, match="is a masked array"):
        vi.L2Squared(IMAGE).prox(MASKED, 0.3)


def test_lazy_arrays_are_refused():
    da = pytest.importorskip("dask.array", reason="dask is not installed")
    lazy = da.from_array(IMAGE)
    for call in (vi.L2Squared, Gradient((N, N)), lambda x: vi.psnr(x, IMAGE), PROBLEMS["denoising"](np.array)):
        with pytest.raises(TypeError, match=r"is a dask Array, .*; pass x\.compute\(\)"):
            call(lazy)
    held = pytest.importorskip("xarray", reason="xarray is not installed").DataArray(lazy)
    with pytest.raises(
        TypeError, match=r"L2Squared: y is an xarray DataArray of a dask array, .*; pass x\.compute\(\)"
    ):
        vi.L2Squared(held)


def test_more_than_a_gigabyte_is_said():
    class File(Unread):
        def __array__(self, *args, **kwargs):
            return IMAGE

    big, small = File(), File()
    big.shape, small.shape = (300, 1024, 1024), (200, 1024, 1024)  # 1.26 and 0.84 GB in float32
    with pytest.warns(UserWarning, match=r"L2Squared: y is a .* File of 1\.3 GB; all of it is read into memory"):
        check.taken("L2Squared", "y", big)
    assert check.taken("L2Squared", "y", small) is IMAGE
