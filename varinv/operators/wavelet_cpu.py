"""The twins for NumPy arrays: the filter bank of PyWavelets, compiled C like numba's would be."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pywt

MODE = "periodization"


@functools.lru_cache(maxsize=64)
def _bank(low: bytes, high: bytes) -> Any:
    """Analysis with (low, high), synthesis with its adjoint: the filters reversed."""
    filters = [np.frombuffer(f) for f in (low, high)]
    return pywt.Wavelet("given", filter_bank=[*filters, *(f[::-1] for f in filters)])


def _writeable(x: Any) -> Any:
    return x if x.flags.writeable else x.copy()  # PyWavelets refuses read-only lines


def wavelet_analysis(x: Any, low: Any, high: Any, axis: int) -> Any:
    n = x.shape[axis]
    if n < 2:
        return x.copy()
    even, last = np.split(x, [n - n % 2], axis=axis)
    a, d = pywt.dwt(_writeable(even), _bank(low.tobytes(), high.tobytes()), MODE, axis=axis)
    return np.concatenate([a, last, d], axis=axis)


def wavelet_synthesis(y: Any, low: Any, high: Any, axis: int) -> Any:
    n = y.shape[axis]
    if n < 2:
        return y.copy()
    a, last, d = np.split(y, [n // 2, n - n // 2], axis=axis)
    x = pywt.idwt(_writeable(a), _writeable(d), _bank(low.tobytes(), high.tobytes()), MODE, axis=axis)
    return np.concatenate([x, last], axis=axis)
