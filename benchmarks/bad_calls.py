"""Bad and unusual calls over the public API: does a wrong argument say so, does a right one in another dress count?

    python benchmarks/bad_calls.py

Right arguments in another dress (a list, a memory map, a subclass, another byte order, read-only, Fortran order, a
0-dimensional number) must give what the plain array gives; everything else must be an error of ours that names the
argument or the object, what came or was expected, and what to do or what is allowed.  Constructors, `solve`, rules and
the algebra are called.
"""

from __future__ import annotations

import math
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import varinv as vi

Y = np.random.default_rng(0).random((4, 5)) + 0.5
ANGLES = np.linspace(0, np.pi, 7, endpoint=False)


class Sub(np.ndarray):
    """A subclass without anything of its own."""


def mapped(a: np.ndarray) -> np.ndarray:
    path = Path(tempfile.mkdtemp()) / "a.npy"
    np.save(path, a)
    return np.load(path, mmap_mode="r")


def frozen(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


DRESS: dict[str, Callable[[np.ndarray], Any]] = {
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(map(tuple, a.tolist())) if a.ndim == 2 else tuple(a.tolist()),
    "memmap": mapped,
    "subclass": lambda a: a.view(Sub),
    "big-endian": lambda a: a.astype(">f8"),
    "read-only": frozen,
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
}


def dask(a: np.ndarray) -> Any:
    import dask.array as da

    return da.from_array(a)


def recording(a: np.ndarray) -> Any:
    import torch

    return torch.tensor(a, requires_grad=True)


WRONG: dict[str, Callable[[np.ndarray], Any]] = {
    "masked": lambda a: np.ma.masked_less(a, a.mean()),
    "NaN": lambda a: np.where(a == a.max(), np.nan, a),
    "Inf": lambda a: np.where(a == a.max(), np.inf, a),
    "wrong shape": lambda a: a[..., :-1],
    "transposed": lambda a: a.T if a.ndim > 1 else a[:, None],
    "empty": lambda a: a[:0],
    "complex": lambda a: a + 1j,
    "text": lambda a: "text",
    "text array": lambda a: a.astype(str),
    "objects": lambda a: np.full(a.shape, None, dtype=object),
    "None inside": lambda a: [None, *a.ravel().tolist()[1:]],
    "ragged": lambda a: [[1.0, 2.0], [3.0]],
    "dict": lambda a: {"y": 1},
    "dask": dask,
    "torch with gradient": recording,
    "class": lambda a: np.ndarray,
    "function": lambda a: abs,
}

A = vi.Blur((4, 5), [[0.1, 0.2, 0.1], [0.1, 0.2, 0.1], [0.0, 0.1, 0.1]])
# name → (constructor of one array argument, the plain array, which wrong ones are right here, how to look at it)
ARRAYS: dict[str, tuple[Callable[[Any], Any], np.ndarray, tuple[str, ...]]] = {
    "L2Squared(y)": (lambda a: vi.L2Squared(a) @ A, Y, ()),
    "L2Squared(weight)": (lambda a: vi.L2Squared(Y, a) @ A, Y, ()),
    "KullbackLeibler(y)": (lambda a: vi.KullbackLeibler(a) @ A, Y, ()),
    "KullbackLeibler(background)": (lambda a: vi.KullbackLeibler(Y, a) @ A, Y, ()),
    "TransmissionPoisson(y)": (lambda a: vi.TransmissionPoisson(a, 2.0) @ A, Y, ()),
    "L2Ball(y)": (lambda a: vi.L2Ball(a, 9.0) @ A, Y, ()),
    "Box(lo)": (lambda a: vi.Problem((vi.Box(a, 9.0) @ A,)), Y - 9, ("Inf",)),
    "Box(hi)": (lambda a: vi.Problem((vi.Box(-9.0, a) @ A,)), Y + 9, ("Inf",)),
    "L1(weight)": (lambda a: vi.L1(a) @ A, Y, ()),
    "Huber(weight)": (lambda a: vi.Huber(0.1, a) @ A, Y, ()),
    "TV(weight)": (lambda a: vi.TV((4, 5), weight=a), Y, ()),
    "solve(x0)": (lambda a: vi.solve(vi.L2Squared(Y) @ A, vi.CGLS(), x0=a, stop=vi.iterations(3)), Y, ()),
    "Problem(x)": (lambda a: (vi.L2Squared(Y) @ A)(a), Y, ("NaN", "Inf")),
    "K(x)": (lambda a: A(a), Y, ("NaN", "Inf")),
    "K.T(y)": (lambda a: A.T(a), Y, ("NaN", "Inf")),
    "Blur(kernel)": (lambda a: vi.Blur((4, 5), a)(Y), Y[:3, :3], ("wrong shape", "transposed")),
    "Diagonal(values)": (lambda a: vi.Diagonal(a)(Y), Y, ()),
    "Matrix(values)": (lambda a: vi.Matrix(a)(np.ones(5)), Y, ()),
    "from_scipy(L)": (lambda a: vi.from_scipy(a)(np.ones(5)), Y, ()),
    "ParallelBeam(angles)": (
        lambda a: vi.Radon((4, 5), vi.ParallelBeam(a, 9))(Y), ANGLES, ("wrong shape",),
    ),
    "FanBeam(angles)": (
        lambda a: vi.Radon((4, 5), vi.FanBeam(a, 9, 1.0, 20.0, 10.0))(Y), ANGLES, ("wrong shape",),
    ),
    "fbp(y)": (
        lambda a: vi.fbp(vi.Radon((4, 5), vi.ParallelBeam(ANGLES, 9)), a), np.random.default_rng(1).random((7, 9)), (),
    ),
    "tv_weights(guide)": (lambda a: vi.tv_weights(a), Y, ("wrong shape", "transposed")),
    "GraphLaplacian(guide)": (lambda a: vi.GraphLaplacian(a, radius=1)(Y), Y, ()),
    "choose(y)": (
        lambda a: vi.choose(
            lambda t, y: vi.L2Squared(y) @ A + math.exp(t[0]) * vi.L2Squared(), a, vi.SURE(0.1), (-2, 1), points=3,
            refine=False,
        ).x,
        Y,
        (),
    ),
    "restore(y)": (lambda a: vi.restore(A, a, lambda x, s: x / (1 + s), 0.1, steps=2).x, Y, ()),
}  # fmt: skip

NUMBERS = ("text", None, math.nan, math.inf, -1.0, 1j, [1.0, 2.0], Y, {"a": 1}, object(), True)
# name → (constructor of one number, which of the above are right here)
SCALARS: dict[str, tuple[Callable[[Any], Any], tuple[Any, ...]]] = {
    "L2Ball(radius)": (lambda v: vi.L2Ball(Y, v), ()),
    "L1(weight)": (lambda v: vi.L1(v) @ A, (Y,)),
    "L1Ball(radius)": (vi.L1Ball, ()),
    "Simplex(total)": (lambda v: vi.Simplex(total=v), ()),
    "Simplex(axis)": (lambda v: vi.Simplex(axis=v), (None,)),
    "Nuclear(weight)": (vi.Nuclear, ()),
    "Huber(smoothing)": (lambda v: vi.Huber(v), ()),
    "lam * f": (lambda v: v * vi.L1(), ()),
    "iterations(n)": (vi.iterations, ()),
    "gap(tol)": (vi.gap, ()),
    "residual(tol)": (vi.residual, ()),
    "residual(every)": (lambda v: vi.residual(1e-3, every=v), ()),
    "small_change(tol)": (vi.small_change, ()),
    "seconds(t)": (vi.seconds, ()),
    "ChambollePock(tau)": (lambda v: vi.solve(vi.L2Squared(Y) + vi.TV((4, 5)), vi.ChambollePock(tau=v)), (None,)),
    "ADMM(rho)": (lambda v: vi.ADMM(rho=v), (None, [1.0, 2.0])),
    "MMGKS(restart)": (lambda v: vi.MMGKS(restart=v), ()),
    "LBFGS(memory)": (lambda v: vi.LBFGS(memory=v), ()),
    "Gradient(spacing)": (lambda v: vi.Gradient((4, 5), spacing=v), ([1.0, 2.0],)),
    "TV(smoothing)": (lambda v: vi.TV((4, 5), smoothing=v), ()),
    "ParallelBeam(detectors)": (lambda v: vi.ParallelBeam(ANGLES, v), ()),
    "ParallelBeam(spacing)": (lambda v: vi.ParallelBeam(ANGLES, 9, v), ()),
    "FanBeam(source_to_axis)": (lambda v: vi.FanBeam(ANGLES, 9, 1.0, v, 10.0), ()),
    "Radon(pixel_size)": (lambda v: vi.Radon((4, 5), vi.ParallelBeam(ANGLES, 9), v), (None,)),
    "restore(noise)": (lambda v: vi.restore(A, Y, lambda x, s: x, v), ()),
    "SURE(noise)": (lambda v: vi.SURE(v), (None,)),
    "PnP(lam)": (lambda v: vi.PnP(lambda x, s: x, lam=v), ()),
}
SHAPES = ("text", None, 1.5, (), (0, 3), (-1, 3), (2.5, 3), "34", Y, {1: 2}, (True, 3))
SHAPED: dict[str, Callable[[Any], Any]] = {
    "Gradient(shape)": vi.Gradient,
    "TV(shape)": vi.TV,
    "Identity(shape)": vi.Identity,
    "Radon(shape)": lambda v: vi.Radon(v, vi.ParallelBeam(ANGLES, 9)),
    "Blur(shape)": lambda v: vi.Blur(v, [[1.0]]),
    "Sobolev(shape)": lambda v: vi.Sobolev(v, 1.0),
    "Subsampling(shape)": lambda v: vi.Subsampling(v, np.ones((4, 5), bool)),
    "Downsampling(shape)": lambda v: vi.Downsampling(v, 1),
}
PROBLEM = vi.L2Squared(Y) @ A + 0.1 * vi.TV((4, 5))
OTHER: dict[str, Callable[[], Any]] = {
    "KullbackLeibler(5.0)": lambda: vi.KullbackLeibler(5.0),
    "L2Ball(5.0, 1)": lambda: vi.L2Ball(5.0, 1.0),
    "observe=5": lambda: vi.solve(PROBLEM, observe=5),
    "progress=text": lambda: vi.solve(PROBLEM, progress="yes"),
    "stop=5": lambda: vi.solve(PROBLEM, stop=5),
    "stop=class": lambda: vi.solve(PROBLEM, stop=vi.gap),
    "solver=text": lambda: vi.solve(PROBLEM, "ADMM"),
    "solver=class": lambda: vi.solve(PROBLEM, vi.ADMM),
    "problem=array": lambda: vi.solve(Y),
    "problem=empty": lambda: vi.solve(vi.Problem(())),
    "f @ y": lambda: vi.L2Squared(Y) @ Y,
    "term @ y": lambda: PROBLEM.terms[0] @ Y,
    "f @ 5": lambda: vi.L2Squared(Y) @ 5,
    "K @ y": lambda: A @ Y,
    "K * y": lambda: A * Y,
    "y * f": lambda: Y * vi.L1(),
    "K + 1": lambda: A + 1,
    "f + 1": lambda: vi.L1() + 1,
    "learn(stop=5)": lambda: vi.learn(vi.families.TV((4, 5), smoothing=0.1), [(Y, Y)], [-1.0], stop=5),
    "learn(pairs=y)": lambda: vi.learn(vi.families.TV((4, 5), smoothing=0.1), Y, [-1.0]),
    "choose(bounds=5)": lambda: vi.choose(vi.families.TV((4, 5), smoothing=0.1), Y, vi.SURE(0.1), bounds=5),
    "choose(rule=text)": lambda: vi.choose(vi.families.TV((4, 5), smoothing=0.1), Y, "SURE", bounds=(-1, 1)),
    "boxes apart": lambda: vi.Box(0, 1) + vi.Box(2, 3),
    "Box(1, 0)": lambda: vi.Box(1, 0),
    "shapes differ": lambda: vi.L2Squared(Y) + vi.TV((5, 4)),
    "data on another shape": lambda: vi.L2Squared(Y) @ vi.Identity((5, 4)),
    "Known(no mask)": lambda: vi.Known(Y, Y),
    "Support(empty)": lambda: vi.Support(np.zeros((4, 5), bool)),
    "Subsampling(mask)": lambda: vi.Subsampling((4, 5), np.ones((5, 4), bool)),
    "checkpoint=5": lambda: vi.solve(PROBLEM, checkpoint=5),
    "checkpoint=no folder": lambda: vi.solve(PROBLEM, checkpoint="/no/such/folder/a.npz"),
    "restore(method)": lambda: vi.restore(A, Y, lambda x, s: x, 0.1, method="magic"),
    "restore(denoiser)": lambda: vi.restore(A, Y, "BM3D", 0.1),
    "restore(A)": lambda: vi.restore(Y, Y, lambda x, s: x, 0.1),
}


def calls() -> Iterator[tuple[str, Callable[[], Any], Any]]:
    """(name, call, the plain result or None where an error is due)."""
    for name, (make, plain, right) in ARRAYS.items():
        for dress, change in DRESS.items():
            if name == "from_scipy(L)" and dress in ("list", "tuple"):
                continue  # an operator or a matrix, no list
            yield f"{name}, {dress}", lambda m=make, c=change, p=plain: m(c(p)), lambda m=make, p=plain: m(p)
        for fault, change in WRONG.items():
            expected = (lambda: None) if fault in right else None
            yield f"{name}, {fault}", lambda m=make, c=change, p=plain: m(c(p)), expected
    for name, (take, allowed) in SCALARS.items():
        for value in NUMBERS:
            if not any(value is a or (type(value) is type(a) is list) for a in allowed):
                yield f"{name} = {type(value).__name__} {str(value)[:12]}", lambda m=take, v=value: m(v), None
    for name, shaped in SHAPED.items():
        for value in SHAPES:
            yield f"{name} = {str(value)[:12]}", lambda m=shaped, v=value: m(v), None
    for name, call in OTHER.items():
        yield name, call, None


def numbers(value: Any) -> Any:
    """What a call computed, as an array: of a problem, its value and the prox of its terms."""
    if isinstance(value, vi.Problem) or hasattr(value, "terms"):
        return np.asarray(vi.Problem(value.terms)(Y))
    return np.asarray(getattr(value, "x", value))


def clear(name: str, text: str) -> bool:
    """Whether a message names the argument or the object, and says what is expected, allowed or to be done."""
    who = re.split(r"[( =@*+,]", name)[0].lower()
    inside = re.search(r"\((\w+)\)|^(\w+)=", name)
    names = [who, *(g.lower() for g in (inside.groups() if inside else ()) if g)]
    names += ["image", "array", "operator", "shape", "input"]
    return any(n and n in text.lower() for n in names) and len(text) > 25 and "object has no attribute" not in text


def outcome(name: str, call: Callable[[], Any], plain: Any) -> str:
    """'same', 'error', or what is wrong: 'silent', 'differs', 'refused', 'raw: …', 'unclear: …'."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = call()
        except (TypeError, ValueError, OSError) as error:
            text = str(error)
            if plain is not None and plain() is not None:
                return f"refused: {text[:150]}"
            ours = [f for f in _files(error) if "/varinv/" in f]
            if not ours:
                return f"raw: {text[:150]}"
            return "error" if clear(name, text) else f"unclear: {text[:150]}"
        except Exception as error:
            return f"raw: {error!r}"[:150]
        if plain is None:
            return "silent"
        straight = plain()
        if straight is None:
            return "same"
        a, b = numbers(value), numbers(straight)
        return "same" if a.shape == b.shape and np.array_equal(a, b) else f"differs: {a.dtype} {a.shape}"


def _files(error: BaseException) -> list[str]:
    found, tb = [], error.__traceback__
    while tb is not None:
        found.append(tb.tb_frame.f_code.co_filename)
        tb = tb.tb_next
    return found[1:] and [found[-1]]


def study() -> tuple[Counter[str], list[str]]:
    found, bad = Counter[str](), []
    for name, call, plain in calls():
        word = outcome(name, call, plain)
        found[word.split(":")[0]] += 1
        if word not in ("same", "error"):
            bad.append(f"{name} -> {word}")
    return found, bad


def main() -> None:
    found, bad = study()
    print(f"{sum(found.values())} calls: " + ", ".join(f"{n} {word}" for word, n in found.most_common()))
    errors = sum(found[w] for w in ("error", "raw", "unclear"))
    print(f"clear errors {100 * found['error'] / errors:.1f} %, silent {found['silent']}, others {found['differs']}")
    for words in bad:
        print(f"  {words}")


if __name__ == "__main__":
    main()
