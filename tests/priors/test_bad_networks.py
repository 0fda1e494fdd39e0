"""Networks that do what no denoiser may: the same error or repair for every framework."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import rand

import varinv as vi

X = rand(np, (7, 9), 2)


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax", "onnx"])
def test_what_a_network_does_wrong_is_said_alike(framework, tmp_path):
    """Sizes that must be even, another shape, NaN, another precision: one error or repair for every framework."""

    def bridge(name):
        """A network that fails in the way of its name; sizes: the mean of 2 × 2 blocks, back on every pixel."""
        if framework == "onnx":
            return vi.from_onnx(onnx_network(name, tmp_path), sigma="none", **options)
        if framework == "numpy":
            return vi.Network(python_network(name, np), sigma="none", **options)
        module = pytest.importorskip({"torch": "torch", "jax": "jax.numpy"}[framework], reason="not installed")
        call = {"torch": vi.from_torch, "jax": vi.from_jax}[framework]
        return call(python_network(name, module), sigma="none", **options)

    options = {}
    with pytest.raises(ValueError, match=r"refused a batch of shape \(1, 1, 7, 9\) and dtype float64.*take multiple=8"):
        bridge("sizes")(X, 0.1)
    with pytest.raises(ValueError, match=r"maps shape \(1, 1, 7, 9\) to \(1, 1, 7, 8\), a denoiser keeps the shape"):
        bridge("shape")(X, 0.1)
    with (
        np.errstate(all="ignore"),
        pytest.raises(ValueError, match="returned NaN or infinite values for a finite image"),
    ):
        bridge("nan")(X, 0.1)
    with pytest.raises(TypeError, match=r"returned dtype int32, a denoiser gives real floating values"):
        bridge("bytes")(X, 0.1)
    options = {"multiple": 2}
    blocks = np.pad(X, ((0, 1), (0, 1)), mode="symmetric").reshape(4, 2, 5, 2).mean((1, 3))
    found = bridge("sizes")(X, 0.1)
    assert found.dtype == X.dtype
    assert np.allclose(found, np.kron(blocks, np.ones((2, 2)))[:7, :9], atol=1e-6)


def python_network(name, xp):
    def sizes(u):
        n, c, h, w = u.shape
        blocks = xp.reshape(u, (n, c, h // 2, 2, w // 2, 2)).mean((3, 5))
        return (blocks[:, :, :, None, :, None] + xp.zeros((1, 1, 1, 2, 1, 2))).reshape(u.shape)

    return {
        "sizes": sizes,
        "shape": lambda u: u[..., :-1],
        "nan": lambda u: u * float("nan"),
        "bytes": lambda u: (255 * u).astype("int32") if hasattr(u, "astype") else (255 * u).int(),
    }[name]


def onnx_network(name, folder):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from onnx import TensorProto, helper, numpy_helper

    constants, out = {}, TensorProto.FLOAT
    if name == "sizes":
        asymmetric = {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        nodes = [
            helper.make_node("AveragePool", ["x"], ["a"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Resize", ["a", "", "scales"], ["b"], mode="nearest", **asymmetric),
            helper.make_node("Mul", ["x", "zero"], ["c"]),
            helper.make_node("Add", ["b", "c"], ["y"]),
        ]
        constants = {"scales": np.array([1, 1, 2, 2], "f4"), "zero": np.array(0, "f4")}
    elif name == "shape":
        nodes = [helper.make_node("Slice", ["x", "first", "last", "axis"], ["y"])]
        constants = {"first": np.array([0]), "last": np.array([-1]), "axis": np.array([3])}
    elif name == "nan":
        nodes, constants = [helper.make_node("Mul", ["x", "nan"], ["y"])], {"nan": np.array(np.nan, "f4")}
    else:
        nodes, out = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT32)], TensorProto.INT32
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("y", out, ["n", 1, "k", "l"])],
        [numpy_helper.from_array(array, label) for label, array in constants.items()],
    )
    path = folder / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_network_of_another_range_is_seen_by_check():
    """A network for 0 … 255, used as one for 0 … 1: its values are those of no image like the given one."""
    x = 0.5 + 0.1 * X

    def for_bytes(batch):
        return 127.5 + 0.9 * (batch - 127.5)

    wrong, right = (vi.Network(for_bytes, sigma="none", range=r, image=(0, 1)) for r in ((0, 1), (0, 255)))
    assert "range=" in wrong.check(like=x, sigma=0.1, probes=1).advice["range"]
    assert "range" not in right.check(like=x, sigma=0.1, probes=1).advice
    clipped = vi.Network(for_bytes, sigma="none", clip=True)(x, 0.1)
    assert clipped.max() <= 1
    noise = vi.PnP(lambda x, sigma: 0.01 * x)  # what a residual network gives: the noise, not the image
    assert "the noise rather than the image" in noise.check(like=x, sigma=0.01, probes=1).advice["range"]
