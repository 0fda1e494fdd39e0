"""Networks of other frameworks as denoisers: PyTorch, ONNX files, JAX.  Each is imported when first asked for.

Nothing is unpickled here: a PyTorch module is built and loaded by its owner (``torch.load(..., weights_only=True)``),
an ONNX file holds a graph and numbers.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from varinv import check
from varinv.backend import Array, device, is_array, library, namespace, to_numpy
from varinv.priors.decoder import Decoder
from varinv.priors.denoiser import PlacementError
from varinv.priors.network import Network

Interval = tuple[float, float]


def from_torch(
    module: Any,
    sigma: Any = "map",
    range: Interval = (0.0, 1.0),
    image: Interval | None = None,
    channels: int = 1,
    multiple: int = 1,
    tile: int | None = None,
    overlap: int = 32,
    average: bool = False,
    clip: bool = False,
    batch: int = 16,
    dtype: Any = None,
) -> Network:
    """Use a PyTorch network as a denoiser, for arrays of any library.

    Memory is shared where dtypes agree (DLPack); no gradient is recorded.  The module runs in the precision and on the
    device of its parameters; an image on another device is refused with the remedy.  A function shows no parameters:
    it gets the precision of the image, or `dtype` (``torch.float32`` or its name).  The other arguments are those of
    `Network`.

    Raises
    ------
    ImportError
        Where PyTorch is not installed, with the command that installs it.
    ValueError
        A module, or a part of it, in training mode: its dropout and batch statistics would make the prior random.
    TypeError
        On a call: an image on another device, or of another precision than the weights behind a function.
    """
    torch = _framework("torch", "torch")
    who = f"from_torch({type(module).__name__})"
    if not callable(module):
        raise TypeError(f"from_torch: module must be callable, got {check.describe(module)}")
    _evaluates(who, module)
    parameters = list(module.parameters()) if hasattr(module, "parameters") else []
    wanted = _torch_dtype(torch, dtype)

    def run(u: Array, *level: Any) -> Array:
        inside = [_to_torch(torch, who, a, parameters, wanted) if is_array(a) else a for a in (u, *level)]
        try:
            with torch.no_grad():
                v = module(*inside)
        except RuntimeError as error:
            if not any(word in str(error) for word in ("dtype", "scalar type", "Input type")):
                raise
            raise PlacementError(
                f"{who}: the module got {inside[0].dtype} and has weights of another precision ({error}); pass the "
                "module itself rather than a function around it, or name the precision of its weights, e.g. "
                "dtype=torch.float32"
            ) from error
        if library(u) == "torch" or not isinstance(v, torch.Tensor):  # what is no tensor, `Network` refuses
            return v
        return v.cpu().numpy() if library(u) == "numpy" else namespace(u).from_dlpack(v)

    return Network(run, sigma, range, image, channels, multiple, tile, overlap, average, clip, batch, who)


def torch_decoder(module: Any, latent: tuple[int, ...]) -> Decoder:
    """Use a PyTorch generator, which draws an image from a code, as a decoder.

    z -> image, with its vector–Jacobian product by autograd, for arrays of any library.

    The module maps a tensor of shape `latent` to the image itself: wrap one that wants a batch,
    ``torch_decoder(lambda z: net(z[None])[0, 0], (512,))``; the codes then keep the dtype of the data.

    Raises
    ------
    ImportError
        Where PyTorch is not installed, with the command that installs it.
    ValueError
        A module in training mode.
    """
    torch = _framework("torch", "torch")
    who = f"torch_decoder({type(module).__name__})"
    _evaluates(who, module)
    parameters = list(module.parameters()) if hasattr(module, "parameters") else []

    def back(v: Any, like: Array) -> Array:
        if library(like) == "torch":
            return v
        return v.cpu().numpy() if library(like) == "numpy" else namespace(like).from_dlpack(v)

    def function(z: Array) -> Array:
        with torch.no_grad():
            return _as(back(module(_to_torch(torch, who, z, parameters)), z), z)

    def vjp(z: Array, v: Array) -> Array:
        with torch.enable_grad():
            t = _to_torch(torch, who, z, parameters).detach().clone().requires_grad_(True)
            (g,) = torch.autograd.grad(module(t), t, _to_torch(torch, who, v, parameters))
        return _as(back(g, z), z)

    return Decoder(function, vjp, latent)


def _evaluates(who: str, module: Any) -> None:
    """An error where a module, or a part of it, is in training mode."""
    parts = module.named_modules() if hasattr(module, "named_modules") else ()
    training = [name for name, part in parts if part.training]
    if training:
        where = "the module" if training[0] == "" else f"its part {training[0]!r}"
        raise ValueError(f"{who}: {where} is in training mode, so that its output is random; call module.eval() first")


def _torch_dtype(torch: Any, dtype: Any) -> Any:
    """A floating dtype of PyTorch from itself or its name; None stays None."""
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype is not None and not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise TypeError(f"from_torch: dtype must be a floating dtype such as torch.float32, got {dtype!r}")
    return found


def _as(v: Array, z: Array) -> Array:
    """`v` in the dtype of `z`."""
    return v if v.dtype == z.dtype else namespace(z).astype(v, z.dtype)


def _to_torch(torch: Any, who: str, u: Array, parameters: list[Any], dtype: Any = None) -> Any:
    if library(u) == "torch":
        t = u
    elif library(u) == "numpy":
        t = torch.from_numpy(u if u.flags.writeable and all(s >= 0 for s in u.strides) else u.copy())
    else:
        t = torch.from_dlpack(u) if hasattr(u, "__dlpack__") else torch.from_numpy(to_numpy(u).copy())
    if parameters and parameters[0].device != t.device:
        raise PlacementError(
            f"{who}: the image is on {t.device}, the module on {parameters[0].device}; "
            f"move the module once with module.to('{t.device}'), or the image"
        )
    if dtype is None and parameters and parameters[0].is_floating_point():
        dtype = parameters[0].dtype
    return t if dtype is None else t.to(dtype)


def from_onnx(
    path: str | os.PathLike[str],
    sigma: Any = "map",
    range: Interval = (0.0, 1.0),
    image: Interval | None = None,
    channels: int = 1,
    multiple: int = 1,
    tile: int | None = None,
    overlap: int = 32,
    average: bool = False,
    clip: bool = False,
    batch: int = 16,
    sha256: str | None = None,
    threads: int | None = None,
) -> Network:
    """Use a network in an ONNX file as a denoiser; ONNX Runtime runs it on the CPU.

    `sha256` is the checksum the file must have; `threads` limits those of the runtime.  A second input of the graph
    takes the noise level where sigma="argument".  The other arguments are those of `Network`.

    Raises
    ------
    ImportError
        Where onnxruntime is not installed, with the command that installs it.
    FileNotFoundError, ValueError
        A file that is not there, has another checksum, is no ONNX graph, or has inputs that do not fit `sigma`.
    TypeError
        On a call, an image that is not in the memory of the CPU.
    """
    runtime = _framework("onnxruntime", "onnx")
    path = Path(path)
    who = f"from_onnx({path.name})"
    if not path.is_file():
        raise FileNotFoundError(f"from_onnx: there is no file {path}")
    if sha256 is not None:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != sha256.lower():
            raise ValueError(f"{who}: the file has SHA-256 {found}, expected {sha256}; it is another file or damaged")
    options = runtime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = check.integer("from_onnx", "threads", threads, low=1)
    try:
        session = runtime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has its own exception classes for every kind of damage
        raise ValueError(f"{who}: the file is no ONNX graph this runtime can run: {error}") from None
    inputs = session.get_inputs()
    wanted = 2 if sigma == "argument" else 1
    if len(inputs) != wanted:
        names = ", ".join(i.name for i in inputs)
        raise ValueError(f"{who} has {len(inputs)} inputs ({names}), sigma={sigma!r} needs {wanted}")
    dtypes = [
        {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16"}.get(i.type)
        for i in inputs
    ]
    if None in dtypes:
        raise ValueError(f"{who}: inputs must be float16, float32 or float64, got {', '.join(i.type for i in inputs)}")

    def run(u: Array, *level: Any) -> Array:
        if library(u) not in ("numpy", "array_api_strict") and str(device(u)) != "cpu":
            raise PlacementError(
                f"{who} runs on the CPU, the image is on {device(u)}; move it with varinv.backend.to_numpy(x)"
            )
        feed = {inputs[0].name: to_numpy(u)}
        for value in level:
            rank = len(inputs[1].shape or ())
            feed[inputs[1].name] = np.full((1,) * rank, value, dtypes[1]) if not is_array(value) else to_numpy(value)
        feed = {key: array.astype(dtype, copy=False) for (key, array), dtype in zip(feed.items(), dtypes, strict=True)}
        v = session.run(None, feed)[0]
        return v if library(u) == "numpy" else namespace(u).asarray(v)

    return Network(run, sigma, range, image, channels, multiple, tile, overlap, average, clip, batch, who)


def from_jax(
    function: Callable[..., Any],
    sigma: Any = "map",
    range: Interval = (0.0, 1.0),
    image: Interval | None = None,
    channels: int = 1,
    multiple: int = 1,
    tile: int | None = None,
    overlap: int = 32,
    average: bool = False,
    clip: bool = False,
    batch: int = 16,
) -> Network:
    """Use a JAX network as a denoiser.

    A JAX function of a batch (flax: ``lambda u: model.apply(params, u)``) as a denoiser; arguments as in `Network`.

    JAX computes in float32 unless its `jax_enable_x64` is set; the result has the dtype of the image all the same.
    Raises ImportError where JAX is not installed, with the command that installs it.
    """
    jnp = _framework("jax.numpy", "jax")
    if not callable(function):
        raise TypeError(f"from_jax: function must be callable, got {check.describe(function)}")

    def run(u: Array, *level: Any) -> Array:
        v = function(
            *(
                jnp.asarray(to_numpy(a)) if is_array(a) and library(a) == "numpy" else _dlpack(jnp, a)
                for a in (u, *level)
            )
        )
        return (
            to_numpy(v).copy() if library(u) == "numpy" else v if library(u) == "jax" else namespace(u).from_dlpack(v)
        )

    return Network(run, sigma, range, image, channels, multiple, tile, overlap, average, clip, batch, "from_jax")


def _dlpack(jnp: Any, a: Any) -> Any:
    return a if not is_array(a) or library(a) == "jax" else jnp.from_dlpack(a)


def _framework(module: str, extra: str) -> Any:
    """The framework, or an error with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(
            f"{module.split('.')[0]} is not installed; install it with: python -m pip install 'varinv[{extra}]'"
        ) from None
