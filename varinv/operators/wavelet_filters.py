"""Filters of the discrete wavelets, and what their polyphase matrices prove."""

from __future__ import annotations

import functools
import math

import array_api_compat.numpy as host

from varinv.backend import Array


def filters(who: str, name: str) -> tuple[Array, ...]:
    """Analysis low and high, synthesis low and high, in float64."""
    filters = _tabulated(name) if isinstance(name, str) else None
    if filters is None:
        families = "haar, db1 … db38, sym2 … sym20, coif1 … coif17, bior1.1 … bior6.8, rbio1.1 … rbio6.8"
        hint = "; it reconstructs only to 6e-3" if name == "dmey" else ""
        raise ValueError(f"{who}: wavelet must be one of {families}, got {name!r}{hint}")
    return filters


@functools.lru_cache(maxsize=64)
def _tabulated(name: str) -> tuple[Array, ...] | None:
    import pywt

    if name == "dmey" or name not in pywt.wavelist(kind="discrete"):
        return None
    return tuple(host.asarray(f, dtype=host.float64) for f in pywt.Wavelet(name).filter_bank)


def singular_values(low: Array, high: Array, n: int) -> Array:
    """Of one level along n entries, n even: those of the polyphase matrix at the n/2 frequencies of that length."""
    size, m = low.shape[0], n // 2
    omega = 2 * math.pi * host.arange(m) / m
    shift = size // 2 - host.arange(size)
    waves = host.exp(1j * host.outer(omega, shift // 2))
    columns = [[waves[:, shift % 2 == p] @ f[shift % 2 == p] for p in (0, 1)] for f in (low, high)]
    return host.linalg.svdvals(host.asarray(columns).transpose(2, 0, 1))


def step_norm(low: Array, high: Array, n: int) -> float:
    """At least 1: what a level leaves alone passes unchanged."""
    if n < 2:
        return 1.0
    return max(float(host.max(singular_values(low, high, n - n % 2))), 1.0) * (1 + 1e-14)


@functools.lru_cache(maxsize=64)
def orthonormal(name: str) -> bool:
    """Whether all singular values are 1, to the digits of the table."""
    low, high = filters("Wavelet", name)[:2]
    return bool(host.max(abs(singular_values(low, high, 512) - 1)) < 5e-11)


def spread(f: Array, step: int) -> Array:
    """f with step − 1 zeros between its entries."""
    result = host.zeros((f.shape[0] - 1) * step + 1)
    result[::step] = f
    return result


def outer(bits: tuple[int, ...], filters: list[Array], axes: tuple[int, ...], d: int) -> Array:
    """The product over `axes` of the low (0) or high (1) filter, of d axes."""
    result = host.ones((1,) * d)
    for bit, axis in zip(bits, axes, strict=True):
        result = result * host.reshape(filters[bit], (-1,) + (1,) * (d - 1 - axis))
    return result
