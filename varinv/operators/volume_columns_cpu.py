"""Rays whose detector columns are upright, on the CPU: all rows of a column pass the same two lines of voxels.

On plane n (a row or a column of the slices) a detector column crosses the volume at  t = start + n·slope, beside the
upright lines ⌊t⌋ and ⌊t⌋ + 1; its row l reads the mean of these two lines at height  A + l·B,

    A = a_0 + n a_1,   B = b_0 + n b_1,   ℓ² = q + h²(a_1 + l b_1)²  the square of the path from plane to plane.

The volume is copied once so that upright lines are contiguous, with zeros around; eight rows are read at once.
Forward, a job owns some views; back, it owns a strip of planes, first of rows and then of columns. Every number is
summed by one job in a fixed order: the bits do not depend on the number of threads.
"""

# mypy: ignore-errors
from __future__ import annotations

import math

import numba as nb
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.types import boolean, float64, int64, void

from varinv.numba_tools import FAST, ro, rw, shared

UPRIGHT = 1e-9  # relative: columns that lean by less are upright
PAD = 16  # zeros at either end of an upright line
ROWS = 64  # zeros before and after the rows of a column of data
STRIP = 8  # planes worked on while they stay in the cache
VIEWS = 4  # views of a job that share them
TAPS = 20  # of a gather, at most; more: one by one

inner = nb.njit(fastmath=FAST, error_model="numpy", nogil=True)


# ---------------------------------------------------------------------------------------------- eight numbers at once
# where the compiler does not see by itself that neighbours read neighbours.  Row m of a detector column reads a line of
# voxels at position  i + m + u_m,  u_m = f + m e:  the eight rows m = 0 … 7 read within three or four voxels of each
# other if e is small, so that eight loads, each shifted by one, hold all that they need, and no row needs an index of
# its own.  Written as LLVM vector code without instructions of any machine: a processor without vectors runs it one by
# one.  It stands in this file because numba's cache sees no other.
LANES = 8
LOOSE = ("reassoc", "contract", "nsz")
WORD = ir.IntType(32)


class Writer:
    """What the code of one function is written with: the array's number type, in lanes."""

    def __init__(self, context, builder, signature, args):
        self.context, self.builder, self.kinds, self.args = context, builder, signature.args, args
        self.number = context.get_value_type(signature.args[0].dtype)
        self.vector = ir.VectorType(self.number, LANES)

    def constant(self, x):
        return ir.Constant(self.vector, [float(x)] * LANES)

    def pointer(self, k, at):
        """The entry of argument array k at the index in argument `at`."""
        data = self.context.make_array(self.kinds[k])(self.context, self.builder, self.args[k]).data
        return self.builder.gep(data, [self.args[at]])

    def spread(self, k):
        """Argument k, a float64, in all lanes."""
        value, b = self.args[k], self.builder
        if self.number != ir.DoubleType():
            value = b.fptrunc(value, self.number)
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = b.insert_element(nothing, value, ir.Constant(WORD, 0))
        return b.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(WORD, LANES), [0] * LANES))

    def ramp(self, f, e):
        """f + m e in lane m."""
        lane = ir.Constant(self.vector, [float(m) for m in range(LANES)])
        return self.add(self.spread(f), self.times(lane, self.spread(e)))

    def load(self, pointer, shift=0):
        place = self.builder.gep(pointer, [ir.Constant(WORD, shift)])
        value = self.builder.load(self.builder.bitcast(place, self.vector.as_pointer()))
        value.align = 4
        return value

    def store(self, value, pointer):
        self.builder.store(value, self.builder.bitcast(pointer, self.vector.as_pointer())).align = 4

    def add(self, a, b):
        return self.builder.fadd(a, b, flags=LOOSE)

    def minus(self, a, b):
        return self.builder.fsub(a, b, flags=LOOSE)

    def times(self, a, b):
        return self.builder.fmul(a, b, flags=LOOSE)

    def choose(self, sign, a, b):
        return self.builder.select(self.builder.fcmp_ordered(sign, a, b, flags=LOOSE), a, b)

    def positive(self, a):
        return self.choose(">", a, self.constant(0))

    def mixed(self, total, weight, a, b):
        """total + weight·(a − b)."""
        return self.add(total, self.times(weight, self.minus(a, b)))


@intrinsic
def hat3(typing, g, i, out, o, f, e):
    """out[o + m] += g read linearly at i + m + u_m, u_m = f + m e in [0, 2)."""

    def generate(context, builder, signature, args):
        w = Writer(context, builder, signature, args)
        u, here, there = w.ramp(4, 5), w.pointer(0, 1), w.pointer(2, 3)
        a, b, c = (w.load(here, m) for m in range(3))
        total = w.mixed(b, w.positive(w.minus(w.constant(1), u)), a, b)
        total = w.mixed(total, w.positive(w.minus(u, w.constant(1))), c, b)
        w.store(w.add(w.load(there), total), there)
        return context.get_dummy_value()

    return types.void(g, i, out, o, types.float64, types.float64), generate


@intrinsic
def hat4(typing, g, i, out, o, f, e):
    """The same for u_m in [0, 3)."""

    def generate(context, builder, signature, args):
        w = Writer(context, builder, signature, args)
        u, here, there = w.ramp(4, 5), w.pointer(0, 1), w.pointer(2, 3)
        a, b, c, d = (w.load(here, m) for m in range(4))
        one = w.constant(1)
        total = w.mixed(a, w.choose("<", u, one), b, a)
        total = w.mixed(total, w.choose("<", w.positive(w.minus(u, one)), one), c, b)
        total = w.mixed(total, w.positive(w.minus(u, w.constant(2))), d, c)
        w.store(w.add(w.load(there), total), there)
        return context.get_dummy_value()

    return types.void(g, i, out, o, types.float64, types.float64), generate


def _gather(taps, fresh):
    """out[o + m] = (or +=) Σ_t max(0, 1 − |c + t B + m (B − 1)|)·y[i + m + t], t < taps: what each voxel gets back."""

    @intrinsic
    def gather(typing, y, i, out, o, c, B):
        def generate(context, builder, signature, args):
            w = Writer(context, builder, signature, args)
            here, there, one = w.pointer(0, 1), w.pointer(2, 3), w.constant(1)
            step = w.spread(5)
            lane = ir.Constant(w.vector, [float(m) for m in range(LANES)])
            at = w.add(w.spread(4), w.times(lane, w.minus(step, one)))
            total = w.constant(0) if fresh else w.load(there)
            for t in range(taps):
                size = w.choose(">", at, w.minus(w.constant(0), at))
                total = w.add(total, w.times(w.positive(w.minus(one, size)), w.load(here, t)))
                at = w.add(at, step)
            w.store(total, there)
            return context.get_dummy_value()

        return types.void(y, i, out, o, types.float64, types.float64), generate

    return gather


set2, set3, set4, set5 = (_gather(taps, True) for taps in (2, 3, 4, 5))
add5 = _gather(5, False)


# ------------------------------------------------------------------------------------------------------------ columns


def tables(rays):
    """(upright, by_row, lines): which views, which of their columns go by rows, and (views, columns, 7) numbers.

    The numbers are start, slope, a_0, a_1, b_0, b_1, q of all views; those of views that are not upright mean nothing.
    """
    views, (hs, hr, hc), (S, R, C) = rays.views, rays.voxel, rays.shape
    half = (views.shape[0] - 1) / 2
    scale = np.array([1 / hc, -1 / hr, -1 / hs])

    def voxels(a):  # (x, y, z) -> (slice, row, column)
        return (a * scale)[..., ::-1]

    middle = (np.array([S, R, C]) - 1) / 2
    foot = voxels(views.feet() - half * views.v[:, None, :]) + middle
    V, size = voxels(views.v)[:, None, :], np.linalg.norm(views.v, axis=1)
    if views.source is not None:
        at = voxels(views.source)[:, None, :] + middle
        D = foot - at
        # as `VolumeRays.lines` finds it, to the last bit: which axis a ray at 45° runs along must be the same
        D = voxels(views.feet() - half * views.v[:, None, :] - views.source[:, None, :])
        upright = np.hypot(views.v[:, 0], views.v[:, 1]) <= UPRIGHT * size
    else:
        at, D = foot, voxels(views.direction)[:, None, :] + 0 * foot
        flat = views.direction[:, 0] * views.v[:, 1] - views.direction[:, 1] * views.v[:, 0]
        upright = np.abs(flat) <= UPRIGHT * size * np.linalg.norm(views.direction, axis=1)
    by_row = np.abs(D[..., 1]) >= np.abs(D[..., 2])
    m, k = np.where(by_row, D[..., 1], D[..., 2]), np.where(by_row, D[..., 2], D[..., 1])
    m = np.where(m == 0, 1e-300, m)
    am, ak = np.where(by_row, at[..., 1], at[..., 2]), np.where(by_row, at[..., 2], at[..., 1])
    with np.errstate(over="ignore", invalid="ignore"):
        slope, a1 = k / m, D[..., 0] / m
        if views.source is not None:
            b0, b1 = -am * V[..., 0] / m, V[..., 0] / m
        else:
            b0, b1 = V[..., 0] - np.where(by_row, V[..., 1], V[..., 2]) * a1, 0 * m
        main, other = np.where(by_row, hr, hc), np.where(by_row, hc, hr)
        lines = np.stack(
            [ak - am * slope, slope, at[..., 0] - am * a1, a1, b0, b1, main**2 + (other * slope) ** 2], axis=-1
        )
        planes = np.where(by_row, R, C)
        steepest = np.maximum(np.abs(a1), np.abs(a1 + 2 * half * b1))
        fits = (steepest <= 1) & (np.minimum(b0, b0 + (planes - 1) * b1) > 1e-3)
    return upright & fits.all(axis=1), by_row, lines


@inner
def rows_met(A, B, rows, height):
    """The rows whose height A + l·B is in (−1, height): the first, and the one after the last."""
    first = max(0, int64(math.floor((-1.0 - A) / B)) + 1)
    return first, min(rows, int64(math.ceil((height - A) / B)))


@inner
def read(g, A, B, first, last, out, o, lanes):
    """out[o + l] += g, read at A + l·B, for the rows first … last − 1; in lanes for some rows beyond as well."""
    e = B - 1.0
    low, reach = min(7.0 * e, 0.0), 7.0 * abs(e)
    if lanes and reach <= 2.0:
        for l in range(first, last, 8):
            p = A + l * B + low
            i = int64(math.floor(p))
            if reach <= 1.0:
                hat3(g, i, out, o + l, p - low - i, e)
            else:
                hat4(g, i, out, o + l, p - low - i, e)
    else:
        for l in range(first, last):
            p = A + l * B
            i = int64(math.floor(p))
            out[o + l] += g[i] + g.dtype.type(p - i) * (g[i + 1] - g[i])


@inner
def write(g, y, yo, A, B, first, last, z0, z1, lanes):
    """g[z] = Σ_l max(0, 1 − |A + l·B − z|)·y[yo + l], z0 ≤ z < z1; in lanes for some z beyond as well."""
    inv = 1.0 / B
    taps = int64(math.ceil((2.0 + 7.0 * abs(B - 1.0)) * inv))
    if lanes and taps <= TAPS:
        shift = min(7.0 * (inv - 1.0), 0.0)
        for z in range(z0, z1, 8):
            l = int64(math.floor((z - 1 - A) * inv + shift)) + 1
            c, i = A + l * B - z, yo + l
            if taps <= 2:
                set2(y, i, g, z, c, B)
            elif taps == 3:
                set3(y, i, g, z, c, B)
            elif taps == 4:
                set4(y, i, g, z, c, B)
            else:
                set5(y, i, g, z, c, B)
                for t in range(5, taps, 5):
                    add5(y, i + t, g, z, c + t * B, B)
    else:
        for z in range(z0, z1 + 8):
            g[z] = 0
        for l in range(first, last):
            p = A + l * B
            i = int64(math.floor(p))
            w = g.dtype.type(p - i)
            g[i] += (1 - w) * y[yo + l]
            g[i + 1] += w * y[yo + l]


@shared(
    lambda f: void(
        ro(f, 1),
        ro(float64, 3),
        ro(boolean, 2),
        ro(int64, 1),
        int64,
        int64,
        int64,
        float64,
        boolean,
        rw(f, 3),
        rw(f, 3),
    )
)
def read_views(start, stop, flat, lines, by_row, some, slices, height, width, h, lanes, sums, out):
    """The projections of some views; `flat` is the framed volume, `sums` room for (views, columns, rows + 8)."""
    columns, rows = lines.shape[1], out.shape[1]
    Z = slices + 2 * PAD
    g = np.zeros(Z + 48, flat.dtype)
    room = sums.reshape(-1)
    for job in range(start, stop):
        low, high = int64(job) * VIEWS, min((int64(job) + 1) * VIEWS, some.size)
        for m in range(low * columns * sums.shape[2], high * columns * sums.shape[2]):
            room[m] = 0
        for top in range(0, max(height, width), STRIP):
            for m in range(low, high):
                for k in range(columns):
                    q = some[m]
                    rowwise = by_row[q, k]
                    planes, across = (height, width) if rowwise else (width, height)
                    along, beside = ((width + 2) * Z, Z) if rowwise else (Z, (width + 2) * Z)
                    o = (m * columns + k) * sums.shape[2]
                    for n in range(top, min(top + STRIP, planes)):
                        t = lines[q, k, 0] + n * lines[q, k, 1]
                        if not -1.0 < t < across:
                            continue
                        A, B = lines[q, k, 2] + n * lines[q, k, 3], lines[q, k, 4] + n * lines[q, k, 5]
                        first, last = rows_met(A, B, rows, slices)
                        if first >= last:
                            continue
                        j = int64(math.floor(t))
                        w = flat.dtype.type(t - j)
                        A += PAD
                        z0 = max(int64(math.floor(A + first * B)) - 2, 0)
                        z1 = min(int64(math.floor(A + (last + 7) * B)) + 5, Z)
                        a = (n + 1) * along + (j + 1) * beside
                        b = a + beside
                        for z in range(nb.uint64(z0), nb.uint64(z1)):
                            one = flat[nb.uint64(a) + z]
                            g[z] = one + w * (flat[nb.uint64(b) + z] - one)
                        read(g, A, B, first, last, room, o, lanes)
        for m in range(low, high):
            q = some[m]
            for l in range(rows):
                for k in range(columns):
                    e = h * (lines[q, k, 3] + l * lines[q, k, 5])
                    out[q, l, k] = flat.dtype.type(math.sqrt(lines[q, k, 6] + e * e)) * sums[m, k, l]


@shared(
    lambda f: void(
        ro(f, 2), ro(float64, 3), ro(boolean, 2), ro(int64, 1), boolean, int64, int64, int64, int64, boolean, rw(f, 1)
    )
)
def write_strips(start, stop, data, lines, by_row, some, rowwise, rows, slices, height, width, lanes, flat):
    """Add to strips of rows (or of columns) of the framed volume what the rays along them have."""
    columns = lines.shape[1]
    Z = slices + 2 * PAD
    g = np.zeros(Z + 48, flat.dtype)
    y = data.reshape(-1)
    planes, across = (height, width) if rowwise else (width, height)
    along, beside = ((width + 2) * Z, Z) if rowwise else (Z, (width + 2) * Z)
    for job in range(start, stop):
        top = int64(job) * STRIP
        for m in range(some.size):
            q = some[m]
            for k in range(columns):
                if by_row[q, k] != rowwise:
                    continue
                yo = (m * columns + k) * data.shape[1] + ROWS
                for n in range(top, min(top + STRIP, planes)):
                    t = lines[q, k, 0] + n * lines[q, k, 1]
                    if not -1.0 < t < across:
                        continue
                    A, B = lines[q, k, 2] + n * lines[q, k, 3], lines[q, k, 4] + n * lines[q, k, 5]
                    first, last = rows_met(A, B, rows, slices)
                    if first >= last:
                        continue
                    j = int64(math.floor(t))
                    w = flat.dtype.type(t - j)
                    A += PAD
                    z0 = int64(math.floor(A + first * B))
                    z1 = int64(math.floor(A + (last - 1) * B)) + 2
                    write(g, y, yo, A, B, first, last, z0, z1, lanes)
                    a = (n + 1) * along + (j + 1) * beside
                    b = a + beside
                    for z in range(nb.uint64(z0), nb.uint64(z1)):
                        part = w * g[z]
                        flat[nb.uint64(a) + z] += g[z] - part
                        flat[nb.uint64(b) + z] += part


def framed(x):
    """The volume with upright lines contiguous and zeros around, flat."""
    S, R, C = x.shape
    flat = np.zeros((R + 2, C + 2, S + 2 * PAD), x.dtype)
    flat[1:-1, 1:-1, PAD : PAD + S] = x.transpose(1, 2, 0)
    return flat.reshape(-1)


def project_upright(x, rays, found, some, out, lanes=True):
    """Fill out[q] for the views q in `some`."""
    _, by_row, lines = found
    S, R, C = x.shape
    sums = np.empty((some.size, lines.shape[1], out.shape[1] + 8), x.dtype)
    jobs = -(-some.size // VIEWS)
    read_views(jobs, framed(x), lines, by_row, some, S, R, C, rays.voxel[0], lanes, sums, out)


def adjoint_upright(y, rays, found, some, out, lanes=True):
    """Add to the volume `out` what comes back from the views in `some`."""
    _, by_row, lines = found
    S, R, C = out.shape
    rows, columns = y.shape[1:]
    data = np.zeros((some.size * columns, rows + 2 * ROWS), y.dtype)
    path = rays.voxel[0] * (lines[some, None, :, 3] + np.arange(rows)[:, None] * lines[some, None, :, 5])
    path = np.sqrt(lines[some, None, :, 6] + path * path).astype(y.dtype)
    data.reshape(some.size, columns, -1)[..., ROWS : ROWS + rows] = (y[some] * path).transpose(0, 2, 1)
    flat = np.zeros((R + 2) * (C + 2) * (S + 2 * PAD), y.dtype)
    for rowwise, planes in ((True, R), (False, C)):
        write_strips(-(-planes // STRIP), data, lines, by_row, some, rowwise, rows, S, R, C, lanes, flat)
    out += flat.reshape(R + 2, C + 2, -1)[1:-1, 1:-1, PAD : PAD + S].transpose(2, 0, 1)
