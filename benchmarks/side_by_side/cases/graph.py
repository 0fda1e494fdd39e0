"""A graph Laplacian of a guide image: built, applied, and solved with, beside the same written for SciPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

import varinv as vi
from side_by_side.harness import Row, Run, alternate
from side_by_side.problems import pieces

RADIUS, SCALE, WEIGHT, TOLERANCE, NEIGHBOURS = 4, 1e-2, 2000.0, 1e-6, 10


def straightforward(guide: np.ndarray) -> scipy.sparse.csr_matrix:
    """The matrix (D − W)/‖W‖_F, offset by offset over whole images, as one writes it for SciPy."""
    index = np.arange(guide.size).reshape(guide.shape)
    rows, cols, values = [], [], []
    for di in range(-RADIUS, RADIUS + 1):
        for dj in range(-RADIUS, RADIUS + 1):
            if di == dj == 0:
                continue
            a = tuple(slice(max(0, -d), n - max(0, d)) for d, n in zip((di, dj), guide.shape, strict=True))
            b = tuple(slice(max(0, d), n - max(0, -d)) for d, n in zip((di, dj), guide.shape, strict=True))
            rows.append(index[a].ravel())
            cols.append(index[b].ravel())
            values.append(np.exp(-((guide[a] - guide[b]) ** 2) / SCALE).ravel())
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols)))
    W = scipy.sparse.csr_matrix(entries, shape=(guide.size, guide.size))
    D = scipy.sparse.diags(np.asarray(W.sum(axis=1)).ravel())
    return (D - W) / np.sqrt(np.sum(W.data**2))


def rows(run: Run) -> Iterator[Row]:
    for n in (run.size or 128,) if run.quick or run.size else (256, 512):
        yield from at(n)


def at(n: int) -> Iterator[Row]:
    """The rows of one size."""
    y, guide = pieces((n, n)).astype(np.float64), pieces((n, n), 0.02).astype(np.float64)
    case, peer = f"graph Laplacian {n}², window 9 × 9, float64", "SciPy sparse, straightforward"
    theirs, ours = straightforward(guide), vi.GraphLaplacian(guide, RADIUS, SCALE)
    flat = y.ravel()
    apart = np.linalg.norm(theirs @ flat - ours(y).ravel()) / np.linalg.norm(theirs @ flat)
    a, b = alternate(lambda: vi.GraphLaplacian(guide, RADIUS, SCALE)(y), lambda: straightforward(guide) @ flat, most=3)
    yield Row(case, "build and apply once", a, peer, b, note=f"results differ by {apart:.0e}")
    a, b = alternate(lambda: ours(y), lambda: theirs @ flat)
    yield Row(case, "apply", a, peer, b)
    system = scipy.sparse.identity(n * n, format="csr") + WEIGHT * theirs
    a, b = alternate(
        lambda: vi.conjugate_gradients(lambda p: p + WEIGHT * ours(p), y, tol=TOLERANCE),
        lambda: scipy.sparse.linalg.cg(system, flat, rtol=TOLERANCE),
        most=3,
    )
    yield Row(case, f"(I + {WEIGHT:g} L) x = y to {TOLERANCE:g}", a, peer, b, note="conjugate gradients both")
    yield from nearest(n, guide, y)


def nearest(n: int, guide: np.ndarray, y: np.ndarray) -> Iterator[Row]:
    """The graph of the ten nearest patches; the peer is the very matrix, written down from ours."""
    case = f"graph Laplacian {n}², the {NEIGHBOURS} nearest of 9 × 9, patches of 3 × 3, float64"
    ours = vi.GraphLaplacian(guide, RADIUS, SCALE, patch=1, neighbours=NEIGHBOURS)
    theirs, flat = matrix(ours), y.ravel()
    apart = np.linalg.norm(theirs @ flat - ours(y).ravel()) / np.linalg.norm(theirs @ flat)
    a, b = alternate(lambda: ours(y), lambda: theirs @ flat)
    note = f"{theirs.nnz / theirs.shape[0]:.1f} entries a row; results differ by {apart:.0e}"
    yield Row(case, "apply", a, "SciPy CSR", b, note=note)


def matrix(L: vi.GraphLaplacian) -> scipy.sparse.csr_matrix:
    """L from its own weights: what they are is not compared here, only how fast they are applied."""
    W, D, _ = L.weights()
    n = D.size
    index = np.arange(n).reshape(D.shape)
    total = scipy.sparse.diags(D.ravel(), format="csr")
    for o, w in zip(L._offsets, W, strict=True):
        i, j = np.nonzero(w)
        total = total - scipy.sparse.csr_matrix((w[i, j], (index[i, j], index[i + o[0], j + o[1]])), shape=(n, n))
    return total.tocsr()
