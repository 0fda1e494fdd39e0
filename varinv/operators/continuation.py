"""Images continued beyond their border, four ways, and the adjoints."""

from __future__ import annotations

import math

import array_api_compat.numpy as host

from varinv.backend import Array, device, indices_like, namespace


def continued(x: Array, axis: int, n: int, before: int, after: int, boundary: str) -> Array:
    """x with `before` and `after` more entries along `axis`."""
    if not before + after:
        return x
    if boundary == "zero":
        return zeros_around(x, axis, before, after)
    i = host.arange(-before, n + after)
    if boundary == "periodic":
        i = i % n
    elif boundary == "nearest":
        i = host.clip(i, 0, n - 1)
    else:
        i = host.minimum(i % (2 * n), 2 * n - 1 - i % (2 * n))
    return namespace(x).take(x, indices_like(i, x), axis=axis)


def folded(y: Array, axis: int, n: int, before: int, after: int, boundary: str) -> Array:
    """The adjoint of `continued`: every added entry goes back to the one it was read from."""
    if not before + after:
        return y
    xp = namespace(y)
    result = along(y, axis, before, before + n)
    if boundary == "zero":
        return result
    if boundary == "nearest":
        low = xp.sum(along(y, axis, 0, before + 1), axis=axis, keepdims=True)
        high = xp.sum(along(y, axis, before + n - 1, before + n + after), axis=axis, keepdims=True)
        if n == 1:
            return low + high - result
        return xp.concat([low, along(result, axis, 1, n - 1), high], axis=axis)
    # the continuation is made of copies of the image, every other one mirrored for reflect; add them one by one
    for number in (*range(-math.ceil(before / n), 0), *range(1, math.ceil(after / n) + 1)):
        start, stop = max(number * n, -before), min((number + 1) * n, n + after)
        copy = along(y, axis, before + start, before + stop)
        copy = zeros_around(copy, axis, start - number * n, (number + 1) * n - stop)
        result = result + (xp.flip(copy, axis=axis) if boundary == "reflect" and number % 2 else copy)
    return result


def along(x: Array, axis: int, start: int, stop: int, step: int = 1) -> Array:
    """x[start:stop:step] along one axis."""
    return x[(slice(None),) * axis + (slice(start, stop, step), Ellipsis)]


def zeros_around(x: Array, axis: int, before: int, after: int) -> Array:
    xp = namespace(x)

    def zeros(n: int) -> Array:
        return xp.zeros((*x.shape[:axis], n, *x.shape[axis + 1 :]), dtype=x.dtype, device=device(x))

    return xp.concat([zeros(before), x, zeros(after)], axis=axis) if before or after else x
