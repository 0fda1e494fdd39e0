"""Maps of images applied to padded sizes, to overlapping tiles, and over the rotations and reflections of a square.

Everything acts on the last two axes of arrays (…, rows, columns); a map takes and gives arrays of one shape, and may
take more of them (maps of noise levels) that are cut and turned along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from varinv.backend import Array, indices_like, like, namespace

Map = Callable[..., Array]


def padded(f: Map, arrays: Sequence[Array], multiple: int) -> Array:
    """f on images extended by reflection to rows and columns divisible by `multiple`, then cropped."""
    rows, columns = arrays[0].shape[-2:]
    below, right = -rows % multiple, -columns % multiple
    if below == right == 0:
        return f(*arrays)
    larger = [_extend(_extend(a, -2, below), -1, right) for a in arrays]
    return f(*larger)[..., :rows, :columns]


def _extend(a: Array, axis: int, more: int) -> Array:
    """`more` entries after the last one, as d c b a | a b c d mirrors (for any number of them)."""
    n = a.shape[axis]
    if more == 0:
        return a
    wave = [*range(n), *range(n - 1, -1, -1)]
    indices = [wave[k % (2 * n)] for k in range(n + more)]
    return namespace(a).take(a, indices_like(indices, a), axis=a.ndim + axis)


def in_tiles(f: Map, arrays: Sequence[Array], tile: int, overlap: int) -> Array:
    """f on tiles of one side that overlap, blended with weights that rise linearly across the overlap and sum to 1."""
    xp, first = namespace(arrays[0]), arrays[0]
    rows, columns = first.shape[-2:]
    strips = []
    down, across = _starts(rows, tile, overlap), _starts(columns, tile, overlap)
    if len(down) == len(across) == 1:
        return f(*arrays)
    for r in down:
        pieces = []
        for c in across:
            part = (..., slice(r, min(r + tile, rows)), slice(c, min(c + tile, columns)))
            pieces.append(f(*(a[part] for a in arrays)))
        strips.append(_blend(xp, pieces, across, columns, -1))
    return _blend(xp, strips, down, rows, -2)


def _starts(n: int, tile: int, overlap: int) -> list[int]:
    """Where the tiles of an axis begin; the last one ends with the axis."""
    if n <= tile:
        return [0]
    step = tile - overlap
    return [*range(0, n - tile, step), n - tile]


def _blend(xp: Any, pieces: list[Array], starts: list[int], n: int, axis: int) -> Array:
    """One array of length n along `axis` from pieces that begin at `starts` and overlap."""
    total = pieces[0]
    for piece, start in zip(pieces[1:], starts[1:], strict=True):
        done = total.shape[axis]
        shared = done - start
        if shared <= 0:
            total = xp.concat([total, piece], axis=total.ndim + axis)
            continue
        rise = like([(k + 0.5) / shared for k in range(shared)], piece)
        rise = rise[:, None] if axis == -2 else rise
        old, new = _cut(total, axis, start, done), _cut(piece, axis, 0, shared)
        seam = old + rise * (new - old)
        ends = [_cut(total, axis, 0, start), seam, _cut(piece, axis, shared, piece.shape[axis])]
        total = xp.concat(ends, axis=total.ndim + axis)
    return total


def _cut(a: Array, axis: int, start: int, stop: int) -> Array:
    return a[(..., slice(start, stop)) + (slice(None),) * (-axis - 1)]


def averaged(f: Map, arrays: Sequence[Array]) -> Array:
    """The mean over the eight rotations and reflections g of the square: (1/8) Σ g⁻¹ f(g x)."""
    total: Any = None
    for k in range(8):
        turned = _turn(f(*(_turn(a, k, back=False) for a in arrays)), k, back=True)
        total = turned if total is None else total + turned
    return total / 8


def _turn(a: Array, k: int, back: bool) -> Array:
    """Element k of the group: transpose if k & 4, then flip rows if k & 1 and columns if k & 2; or its inverse."""
    xp = namespace(a)
    axes = [a.ndim - 2 + j for j in (0, 1) if k & (1 << j)]
    if k & 4 and not back:
        a = xp.matrix_transpose(a)
    a = xp.flip(a, axis=tuple(axes)) if axes else a
    return xp.matrix_transpose(a) if k & 4 and back else a
