"""The X-ray transform through the ASTRA toolbox: a second engine for `Radon`, and an oracle for its tests."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from varinv import cuda_tools
from varinv.backend import Array, Shape, empty, library, namespace, on_cpu, through_numpy
from varinv.memory import once
from varinv.operators.base import LinearOperator
from varinv.operators.geometry import FanBeam, ParallelBeam, some_views
from varinv.operators.norms import collatz_wielandt
from varinv.operators.radon import check_scan, edge, grid_repr
from varinv.operators.spectrum import Spectrum, ramp

PROJECTORS = {
    ParallelBeam: ("linear", "line", "strip"),
    FanBeam: ("line_fanflat", "strip_fanflat"),
}


@dataclass(frozen=True, eq=False, repr=False)
class AstraRadon(LinearOperator):
    r"""The forward operator of tomography, computed by the ASTRA toolbox.

    `Radon` through ASTRA's projectors (van Aarle et al. 2016, Optics Express 24), NumPy and CuPy.

    (rows, cols) → (angles, detectors), stacks slice by slice; value × length, as `Radon`.  A bin is one ray ("linear",
    "line") or the area of its strip ("strip"), whatever its width.  Projectors read the image as ASTRA defines them:
    "linear" interpolates as Joseph does, "line" weights pixels by the length of the ray inside (Siddon), "strip" by
    the area.

    ASTRA computes in float32 whatever comes in; float64 arrays come back as float64 with that accuracy, so that
    objectives and certificates can be evaluated.

    CuPy arrays stay on their device: ASTRA's CUDA projector reads and writes them through DLPack, slice by slice.  Its
    back-projection interpolates on the detector and is not the transpose of its projection (the test marked `gpu`
    prints by how much, ``pytest -m gpu -s``; `benchmarks/gpu_projectors.py` does for ASTRA called directly), so that
    nothing built on an adjoint is certified there: an engine to compare with.

    Norm: Collatz–Wielandt on float32 applications of the CPU's projector, widened by 1e-5 for their rounding.

    Parameters
    ----------
    shape : (rows, cols) or (slices, rows, cols).
    geometry : ParallelBeam, or FanBeam onto a flat detector.
    pixel_size, origin : as for `Radon`.
    projector : "linear", "line" or "strip" (parallel), "line_fanflat" or "strip_fanflat" (fan); None: the first.

    Raises
    ------
    ImportError
        ASTRA is not installed.
    TypeError, ValueError
        As `Radon`; a curved detector; a projector that does not fit the geometry; arrays that are neither NumPy's nor
        CuPy's; CuPy arrays with another projector than the first.
    RuntimeError
        CuPy arrays where ASTRA is older than 2.5 or was built without CUDA.
    """

    shape: Shape
    geometry: ParallelBeam | FanBeam
    pixel_size: float | None = None
    projector: str | None = None
    origin: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_scan(self)
        _astra()
        known = PROJECTORS[type(self.geometry)]
        if self.projector is None:
            object.__setattr__(self, "projector", known[0])
        if self.projector not in known:
            raise ValueError(
                f"AstraRadon: projector must be one of {', '.join(known)} for a {type(self.geometry).__name__}, "
                f"got {self.projector!r}"
            )
        if self.geometry.to_astra()["type"] == "fanflat_vec" and self.projector == "strip_fanflat":
            raise ValueError(
                f"AstraRadon: ASTRA's strip_fanflat takes no axis offset, got {self.geometry} where the middle is "
                f"{(self.geometry.detectors - 1) / 2:g}; use projector='line_fanflat'"
            )

    @property
    def domain(self) -> Shape:
        return self.shape

    @property
    def codomain(self) -> Shape:
        return (*self.domain[:-2], *self.geometry.shape)

    def forward(self, x: Array) -> Array:
        return self._apply(x, "image", "FP")

    def adjoint(self, y: Array) -> Array:
        return self._apply(y, "sinogram", "BP")

    @once
    def norm(self) -> float:
        if len(self.domain) == 3:
            return AstraRadon(self.domain[1:], self.geometry, self.pixel_size, self.projector, self.origin).norm()
        return collatz_wielandt(self) * (1 + 1e-5)

    def absolute(self) -> LinearOperator | None:
        return self

    def preconditioner(self) -> Spectrum:
        """The ramp of filtered back-projection, with a floor."""
        return ramp(self.codomain)

    def scan_geometry(self) -> ParallelBeam | FanBeam:
        return self.geometry

    def views(self) -> int:
        return -2

    def subset(self, indices: Sequence[int]) -> LinearOperator:
        """The rows of some views (projection angles), at the price of those."""
        return dataclasses.replace(self, geometry=some_views(self.geometry, indices))

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        turn = [0.0, 0.4, 1.3, 2.0, -2.5]
        yield cls((5, 8), ParallelBeam(turn, 11, spacing=0.9, axis=5.3), pixel_size=1.1)
        yield cls((2, 6, 7), ParallelBeam(turn, 9), projector="strip")
        yield cls((7, 6), FanBeam(turn, 9, 1.5, 12.0, 6.0, axis=3.6))
        yield cls((5, 8), ParallelBeam(turn, 11, axis=[5.3, 5.0, 4.8, 5.1, 5.2]), origin=(2.5, 3.0))
        yield cls((7, 6), FanBeam(turn, 9, 1.5, 12.0, 6.0, axis=[3.6, 3.9, 4.4, 4.0, 4.1]), origin=(3.0, 2.0))

    def __repr__(self) -> str:
        return f"AstraRadon({self.domain}, {self.geometry}{grid_repr(self)}, projector={self.projector!r})"

    def _apply(self, a: Any, what: str, algorithm: str) -> Any:
        if library(a) == "cupy":
            return self._on_device(a, algorithm)
        if on_cpu(a) is None:
            raise TypeError(
                f"{self}: ASTRA works on NumPy and CuPy arrays, the {what} is a {library(a)} array; "
                "convert it first, or use Radon, which keeps the library"
            )
        return through_numpy(self._on_host, a, algorithm)

    def _on_host(self, a: Any, algorithm: str) -> Any:
        shape = self.codomain[-2:] if algorithm == "FP" else self.domain[-2:]
        single = np.ascontiguousarray(a, dtype=np.float32)
        with self._projector() as run:
            slices = [run(algorithm, s) for s in single.reshape(-1, *a.shape[-2:])]
        return np.stack(slices).reshape(*a.shape[:-2], *shape).astype(a.dtype, copy=False)

    def _on_device(self, a: Any, algorithm: str) -> Any:
        if self.projector != PROJECTORS[type(self.geometry)][0]:
            raise ValueError(f"{self}: on CuPy arrays there is one projector, ASTRA's 'cuda'; leave projector out")
        astra, runtime = _astra(), cuda_tools.cupy().cuda
        if not hasattr(astra.projector, "direct_FP") or not astra.use_cuda():
            raise RuntimeError(
                "AstraRadon on CuPy arrays needs ASTRA 2.5 or later, built with CUDA (the conda package is); "
                "Radon runs on them as it is"
            )
        with a.device:
            runtime.Device().synchronize()  # ASTRA does not wait for CuPy's stream, nor CuPy for ASTRA's
            result = self._direct(a, algorithm, "cuda")
            runtime.Device().synchronize()
        return result

    def _direct(self, a: Any, algorithm: str, name: str) -> Any:
        """Through DLPack: any library and device that projector `name` takes."""
        astra, xp = _astra(), namespace(a)
        shape = self.codomain[-2:] if algorithm == "FP" else self.domain[-2:]
        apply = astra.projector.direct_FP if algorithm == "FP" else astra.projector.direct_BP
        single = xp.ascontiguousarray(a, dtype=xp.float32).reshape(-1, *a.shape[-2:])
        out = empty((single.shape[0], *shape), xp.float32, a)
        volume, rays = self._geometries()
        projector = astra.create_projector(name, rays, volume)
        try:
            for k in range(single.shape[0]):
                apply(projector, single[k], out=out[k])
        finally:
            astra.projector.delete(projector)
        return xp.astype(out.reshape(*a.shape[:-2], *shape) * edge(self), a.dtype, copy=False)

    def _geometries(self) -> tuple[Any, Any]:
        """ASTRA's volume and rays.  It sees pixels of edge 1: lengths are divided by the pixel size, and its line
        integrals multiplied by it.
        """
        (rows, cols), place = self.domain[-2:], self.origin
        if place is None:
            volume = _astra().create_vol_geom(rows, cols)
        else:
            row, column = place
            window = (-column - 0.5, cols - column - 0.5, row + 0.5 - rows, row + 0.5)
            volume = _astra().create_vol_geom(rows, cols, *window)
        return volume, self.geometry.to_astra(edge(self))

    @contextmanager
    def _projector(self) -> Iterator[Any]:
        """A function that runs "FP" or "BP" on one slice; every ASTRA object is deleted at the end."""
        astra, h = _astra(), edge(self)
        volume, rays = self._geometries()
        projector = astra.create_projector(self.projector, rays, volume)

        def run(algorithm: str, a: Any) -> Any:
            forward = algorithm == "FP"
            x = astra.data2d.create("-vol", volume, a if forward else 0)
            y = astra.data2d.create("-sino", rays, 0 if forward else a)
            settings = astra.astra_dict(algorithm)
            settings.update(ProjectorId=projector, ProjectionDataId=y)
            settings["VolumeDataId" if forward else "ReconstructionDataId"] = x
            task = astra.algorithm.create(settings)
            try:
                astra.algorithm.run(task)
                return astra.data2d.get(y if forward else x) * np.float32(h)
            finally:
                astra.algorithm.delete(task)
                astra.data2d.delete([x, y])

        try:
            yield run
        finally:
            astra.projector.delete(projector)


def _astra() -> Any:
    try:
        return importlib.import_module("astra")
    except ImportError as error:
        raise ImportError("AstraRadon needs the ASTRA toolbox: pip install varinv[astra]") from error
