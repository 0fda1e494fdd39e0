"""PyTorch, ONNX Runtime and JAX: the same network through each gives the same image."""

from __future__ import annotations

import hashlib
import importlib
import sys

import numpy as np
import pytest
from conftest import rand
from networks import conv, dncnn, layers
from skimage.data import camera

import varinv as vi
from varinv.backend import to_numpy

WEIGHT = rand(np, (1, 2, 3, 3), 1, "float32")
X = rand(np, (7, 9), 2)


def reference(batch):
    return conv(batch.astype("f4"), WEIGHT, np.float32(0.1))


def expected():
    return vi.Network(reference, sigma="map")(X, 0.2)


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from onnx import TensorProto, helper, numpy_helper

    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [node],
        "one layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(np.array([0.1], "f4"), "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path_factory.mktemp("onnx") / "layer.onnx"
    onnx.save(model, path)
    return path


def layer(torch):
    module = torch.nn.Conv2d(2, 1, 3, padding=1)
    module.weight.data = torch.tensor(WEIGHT)
    module.bias.data = torch.tensor([0.1])
    return module.eval()


def test_torch(xp):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    D = vi.from_torch(layer(torch), sigma="map")
    x = xp.asarray(X.copy())
    found = D(x, 0.2)
    assert type(found) is type(x) or xp.__class__.__name__ == "ReadOnlyNumPy"
    assert found.dtype == x.dtype
    assert not getattr(found, "requires_grad", False)
    assert np.allclose(to_numpy(found), expected(), atol=1e-5)  # float32 sums of 18 products


def test_torch_refuses():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    with pytest.raises(ValueError, match=r"from_torch\(Conv2d\): the module is in training mode.*call module.eval"):
        vi.from_torch(layer(torch).train())
    with pytest.raises(TypeError, match=r"must return an array of shape .*, got None"):
        vi.from_torch(lambda u: None)(X, 0.1)
    with pytest.raises(TypeError, match="module must be callable"):
        vi.from_torch(3)
    elsewhere = layer(torch).to("meta")  # a device that every installation has
    with pytest.raises(TypeError, match=r"the image is on cpu, the module on meta; move the module once"):
        vi.from_torch(elsewhere)(X, 0.1)
    assert "from_torch(Conv2d)(sigma='map'" in repr(vi.from_torch(layer(torch)))
    part = torch.nn.Sequential(layer(torch), torch.nn.Dropout()).eval()
    part[1].train()
    with pytest.raises(ValueError, match=r"its part '1' is in training mode, so that its output is random"):
        vi.from_torch(part)
    with pytest.raises(TypeError, match=r"dtype must be a floating dtype such as torch\.float32, got 'f4'"):
        vi.from_torch(layer(torch), dtype="f4")


def test_the_precision_of_torch_weights():
    """Modules of any precision take any image; behind a function the weights are not seen: an error says so."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    double = layer(torch).double()
    for image in (X, X.astype("f4")):
        found = vi.from_torch(double)(image, 0.2)
        assert found.dtype == image.dtype
        assert np.allclose(found, expected(), atol=1e-5)
    single = layer(torch)
    for weights, image, came in ((single, X, "float64"), (double, X.astype("f4"), "float32")):
        hidden = vi.from_torch(lambda u, m=weights: m(u))
        with pytest.raises(TypeError, match=rf"got torch.{came} and has weights of another precision .*pass the mod"):
            hidden(image, 0.2)
    for dtype in (torch.float32, "float32"):
        found = vi.from_torch(lambda u: single(u), dtype=dtype)(X, 0.2)
        assert found.dtype == X.dtype
        assert np.allclose(found, expected(), atol=1e-5)


def test_onnx(onnx_file, xp):
    x = xp.asarray(X.copy())
    found = vi.from_onnx(onnx_file, threads=1)(x, 0.2)
    assert found.dtype == x.dtype
    assert np.allclose(to_numpy(found), expected(), atol=1e-5)


def test_onnx_refuses(onnx_file, tmp_path):
    right = hashlib.sha256(onnx_file.read_bytes()).hexdigest()
    assert vi.from_onnx(onnx_file, sha256=right.upper())(X, 0.2).shape == X.shape
    with pytest.raises(ValueError, match=f"has SHA-256 {right}, expected 00; it is another file or damaged"):
        vi.from_onnx(onnx_file, sha256="00")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        vi.from_onnx(tmp_path / "missing.onnx")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(onnx_file.read_bytes()[:40])
    with pytest.raises(ValueError, match="no ONNX graph this runtime can run"):
        vi.from_onnx(damaged)
    with pytest.raises(ValueError, match=r"has 1 inputs \(x\), sigma='argument' needs 2"):
        vi.from_onnx(onnx_file, sigma="argument")
    with pytest.raises(ValueError, match=r"refused a batch of shape \(1, 1, 7, 9\)"):
        vi.from_onnx(onnx_file, sigma="none")(X, 0.2)


def test_onnx_with_the_noise_level_as_a_second_input(tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from onnx import TensorProto, helper

    for shape in ([], [1], [1, 1, 1, 1]):
        graph = helper.make_graph(
            [helper.make_node("Mul", ["x", "s"], ["y"])],
            "scale",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, "h", "w"]),
                helper.make_tensor_value_info("s", TensorProto.FLOAT, shape),
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        )
        path = tmp_path / f"scale{len(shape)}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
        assert np.allclose(vi.from_onnx(path, sigma="argument")(X, 0.2), 0.2 * X, rtol=1e-6)


def test_jax():
    jnp = pytest.importorskip("jax.numpy", reason="jax is not installed")

    def network(batch):
        padded = jnp.pad(batch, ((0, 0), (0, 0), (1, 1), (1, 1)))
        n, h, w = batch.shape[0], batch.shape[2], batch.shape[3]
        total = jnp.full((n, 1, h, w), 0.1)
        for c in range(2):
            for i in range(3):
                for j in range(3):
                    total = total + WEIGHT[0, c, i, j] * padded[:, c : c + 1, i : i + h, j : j + w]
        return total

    found = vi.from_jax(network)(X, 0.2)
    assert type(found) is np.ndarray
    assert found.dtype == X.dtype
    assert np.allclose(found, expected(), atol=1e-5)
    with pytest.raises(TypeError, match="function must be callable"):
        vi.from_jax(3)


@pytest.mark.parametrize(("name", "extra"), [("torch", "torch"), ("onnxruntime", "onnx"), ("jax.numpy", "jax")])
def test_a_missing_framework_names_its_install_command(name, extra, monkeypatch):
    real = importlib.import_module
    monkeypatch.setattr(
        importlib, "import_module", lambda n, *a: (_ for _ in ()).throw(ImportError(n)) if n == name else real(n, *a)
    )
    call = {"torch": vi.from_torch, "onnx": vi.from_onnx, "jax": vi.from_jax}[extra]
    with pytest.raises(ImportError, match=rf"python -m pip install 'varinv\[{extra}\]'"):
        call(lambda u: u)


def test_importing_varinv_imports_no_framework():
    import subprocess

    code = (
        "import sys, varinv as vi; vi.Network; vi.PnP; "
        "print([m for m in ('torch', 'onnxruntime', 'jax') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_torch_onnx_and_numpy_give_the_same_reconstruction(data, tmp_path):
    """The stored six-layer network in three frameworks: half of the pixels of 48 × 48, HQS; equal to 1e-4."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from onnx import TensorProto, helper, numpy_helper

    parameters = layers(data / "network_weights" / "dncnn6_sigma_gray.npz")

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList()
            for weight, bias in parameters:
                layer = torch.nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, padding_mode="circular")
                layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
                self.layers.append(layer)

        def forward(self, batch):
            u = batch
            for layer in self.layers[:-1]:
                u = torch.relu(layer(u))
            return batch[:, :1] - self.layers[-1](u)[:, :1]

    nodes, constants, name = [], [("around", np.array([0, 0, 1, 1, 0, 0, 1, 1]))], "x"
    for k, (weight, bias) in enumerate(parameters):
        constants += [(f"w{k}", weight), (f"b{k}", bias)]
        nodes += [
            helper.make_node("Pad", [name, "around"], [f"p{k}"], mode="wrap"),
            helper.make_node("Conv", [f"p{k}", f"w{k}", f"b{k}"], [f"c{k}"]),
            helper.make_node("Relu", [f"c{k}"], [f"r{k}"]),
        ]
        name = f"r{k}"
    nodes.pop()  # no activation after the last layer
    constants.append(("first", np.array([0])))
    nodes += [
        helper.make_node("Gather", ["x", "first"], ["image"], axis=1),
        helper.make_node("Gather", [f"c{k}", "first"], ["noise"], axis=1),
        helper.make_node("Sub", ["image", "noise"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", c, "h", "w"]) for n, c in (("x", 2), ("y", 1))]
    tensors = [numpy_helper.from_array(array, label) for label, array in constants]
    graph = helper.make_graph(nodes, "dncnn", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.save(model, tmp_path / "dncnn.onnx")

    x = camera()[150:198, 200:248] / 255
    A = vi.Subsampling(x.shape, np.random.default_rng(0).random(x.shape) < 0.5)
    denoisers = [
        vi.Network(dncnn(parameters, True), sigma="map"),
        vi.from_torch(Module().eval()),
        vi.from_onnx(tmp_path / "dncnn.onnx", threads=1),
    ]
    numpy, *others = [vi.restore(A, A(x), D, 0.0, steps=6).x for D in denoisers]
    assert vi.psnr(numpy, x, data_range=1.0) >= 20  # it is a reconstruction
    for found in others:  # float32 sums in another order, through 6 steps
        assert 0 < np.abs(found - numpy).max() <= 1e-4
