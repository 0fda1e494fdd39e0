"""What a linear operator says of itself: what solvers, certificates and pseudo-inverses ask, instead of its class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from varinv.backend import Array, Shape
from varinv.capabilities import guard, keep
from varinv.memory import once
from varinv.operators.norms import norm_bound
from varinv.operators.spectrum import Spectrum
from varinv.returned import checked

# what defines an operator, and what describes the operator so defined: a subclass that overrides one of the former
# keeps none of its parent's others (varinv.capabilities)
DEFINING = ("forward", "adjoint")
DERIVED = (
    *("form", "norm", "absolute", "isometry", "coisometry", "diagonal", "shift_invariant", "pseudoinverse", "fresh"),
    *("preconditioner", "views", "subset", "restricted", "scan_geometry", "reads", "writes"),
)


class Traits(ABC):
    r"""What defines an operator K, and all that it may say beside; a method that is not written has a safe default.

    ========================== =================================================================================
    ``norm()``                 an upper bound of the largest singular value, proved or certified
    ``form()``                 K as data (varinv.forms)
    ``absolute()``             the operator of the magnitudes \|K_ij\|; itself where no entry is negative
    ``isometry()``             c > 0 where KᵀK = c · identity; ``coisometry()``: where KKᵀ is
    ``diagonal()``             d where K x = d x entrywise; ``restricted(axis, indices)`` then takes some entries
    ``shift_invariant()``      True where K commutes with periodic shifts of the image
    ``pseudoinverse(y, tol)``  K⁺ y in closed form
    ``preconditioner()``       a filter S of the codomain that makes the spectrum of KᵀSK flat
    ``views()``                the axis of the codomain that ``subset(indices)`` takes apart
    ``scan_geometry()``        of an X-ray transform: what filtered back-projection asks
    ``reads()``, ``writes()``  the entries that may matter: they sharpen the norms of sums
    ``examples()``             instances for the contract tests
    ========================== =================================================================================
    """

    fresh: ClassVar[bool] = False  # forward and adjoint return arrays that nobody else holds: they may be written over

    if TYPE_CHECKING:  # attributes or properties, as a class likes

        @property
        def domain(self) -> Shape: ...
        @property
        def codomain(self) -> Shape: ...

    def __init_subclass__(cls, same_map: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if same_map:
            keep(cls, Traits, (*DEFINING, *DERIVED))
        guard(cls, Traits, DEFINING, DERIVED, abstract=True)
        checked(cls, {"forward": lambda K, x: K.codomain, "adjoint": lambda K, y: K.domain})

    @abstractmethod
    def forward(self, x: Array, /) -> Array:
        """K x, of shape `codomain`."""

    @abstractmethod
    def adjoint(self, y: Array, /) -> Array:
        """Kᵀ y, of shape `domain`, with the very weights of `forward`."""

    @once
    def norm(self) -> float:
        """An upper bound of the largest singular value; never a power iteration, which comes from below.

        Where nothing is written: certified where no entry is negative (Collatz–Wielandt), else from Lanczos on KᵀK in
        float64, at most 5 % too large, and wrong with a chance of 1e-6 (varinv.operators.norms.norm_bound).
        """
        return norm_bound(self)

    def form(self) -> Any:
        """What K is, as data (varinv.forms); None: none of these."""
        return None

    def absolute(self) -> Any:
        """The operator of the magnitudes |K_ij| (`self` where no entry is negative); None: not known."""
        return None

    def isometry(self) -> float | None:
        """c > 0 where Kᵀ K = c · identity (c = 1: K keeps lengths); None: not so, or not known."""
        return None

    def coisometry(self) -> float | None:
        """c > 0 where K Kᵀ = c · identity (K.T is an isometry up to √c); None: not so, or not known."""
        return None

    def diagonal(self) -> Any:
        """d where K x = d x entrywise, an array or a number (a multiple of the identity); None: not known."""
        return None

    def restricted(self, axis: int, indices: Sequence[int]) -> Any:
        """Of an operator with a `diagonal`: the same on some entries along an axis."""
        raise TypeError(f"{self} does not act entry by entry: it cannot be restricted to some of them")

    def shift_invariant(self) -> bool:
        """Whether K is known to commute with periodic shifts of the image (then KᵀK is diagonal in Fourier space)."""
        return False

    def pseudoinverse(self, y: Array, tol: float) -> Array | None:
        """K⁺ y in closed form; None where none is known.  `tol` is the relative cut-off of singular values."""
        c = self.isometry() or self.coisometry()
        return self.adjoint(y) / c if c else None

    def preconditioner(self) -> Spectrum | None:
        """A filter S of the codomain that makes the spectrum of Kᵀ S K flatter than that of Kᵀ K; None: not known."""
        return None

    def views(self) -> int | None:
        """The axis of the codomain, counted from the end, that counts views; None: they cannot be had one by one."""
        return None

    def subset(self, indices: Sequence[int]) -> Any:
        """The rows of K that belong to some views, at the price of those."""
        raise TypeError(f"{self} has no views that can be had one by one")

    def scan_geometry(self) -> Any:
        """Of an X-ray transform: the geometry of its rays (with `pixel_size` and `origin`); None: it is none."""
        return None

    def reads(self) -> Array | None:
        """A NumPy mask of the entries of x outside of which K is zero; None: perhaps all are read."""
        return None

    def writes(self) -> Array | None:
        """A NumPy mask of the entries of K x that may differ from zero; None: perhaps all."""
        return None

    @classmethod
    def examples(cls) -> Iterator[Any]:
        """Instances on which every contract is tested: tiny ones, non-square ones, one of production size."""
        raise NotImplementedError(f"{cls.__name__} needs examples(): the contract tests run on them")
