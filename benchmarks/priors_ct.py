"""Few-view CT: a DnCNN trained on photographs, in its declared value range, against the best total variation.

    python benchmarks/priors_ct.py [views …] [photograph ellipses shepp-logan]

128², parallel beam, noise 1 % of the standard deviation of the sinogram, image values 0 … 0.02 declared by `image=`.
Phantoms that no prior was tuned on: random ellipses (seed 7) and Shepp–Logan, piecewise constant, with exact line
integrals; and a photograph in a disc, projected from its 256² version.  For each method the best setting, judged by
the truth, of a geometric grid that is extended until the best lies inside: TV over λ, HQS (its own noise levels, and 15
from 0.2 to 0.02 of the range) over the weight of the denoiser, PnP-ADMM (denoiser at 3 % of the range) over ρ.  Beside
them `restore` as it is.
Needs PyTorch and the data folder (VARINV_DATA).
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from skimage.data import camera

import varinv as vi
from varinv.phantom import random_ellipses, shepp_logan
from varinv.priors.hqs import noise_levels

DATA = Path(os.environ.get("VARINV_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
N, TOP = 128, 0.02


class DnCNN(torch.nn.Module):
    """Six 3 × 3 convolutions of image and noise level, with periodic edges; the last gives the noise."""

    def __init__(self, path):
        super().__init__()
        stored, layers = np.load(path, allow_pickle=False), []
        for k in range(len(stored.files) // 2):
            weight = torch.tensor(stored[f"weight_{k}"])
            layer = torch.nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, padding_mode="circular")
            layer.weight.data, layer.bias.data = weight, torch.tensor(stored[f"bias_{k}"])
            layers += [layer, torch.nn.ReLU()]
        self.noise = torch.nn.Sequential(*layers[:-1])

    def forward(self, u):
        return u[:, :1] - self.noise(u)[:, :1]


def scan(name, geometry):
    """Truth and data without noise."""
    if name == "photograph":
        i, j = np.indices((2 * N, 2 * N))
        inside = np.hypot(i - N + 0.5, j - N + 0.5) < 0.94 * N
        fine = TOP * camera()[128:384, 128:384] / 255 * inside
        return fine.reshape(N, 2, N, 2).mean((1, 3)), vi.Radon(fine.shape, geometry, pixel_size=0.5)(fine)
    phantom = random_ellipses(7, N / 2) if name == "ellipses" else shepp_logan(N / 2)
    return TOP * phantom.image((N, N)), TOP * phantom.line_integrals(geometry, rays_per_bin=4)


def best(run, truth, first, ratio):
    """(PSNR, setting) of the best on the grid first·ratioᵏ, extended until both neighbours of the best are worse."""
    found = {}

    def quality(k):
        if k not in found:
            found[k] = vi.psnr(run(first * ratio**k), truth, data_range=TOP)
        return found[k]

    k = max((0, 1), key=quality)
    while (better := max((k - 1, k, k + 1), key=quality)) != k:
        k = better
    return found[k], first * ratio**k


def compare(name, views, D):
    geometry = vi.ParallelBeam(np.arange(views) * np.pi / views, int(1.5 * N))
    A = vi.Radon((N, N), geometry)
    truth, clean = scan(name, geometry)
    noise = 0.01 * clean.std()
    y = clean + noise * np.random.default_rng(0).standard_normal(clean.shape)
    data, first, levels = vi.L2Squared(y) @ A, vi.fbp(A, y, "hann"), noise_levels(0.2 * TOP, 0.02 * TOP, 15)
    usual = vi.HQS(noise).levels(D, A)

    def variation(lam):
        problem = data + lam * TOP * vi.TV(A.domain) + vi.Box(0, TOP)
        return vi.solve(problem, stop=vi.gap(1e-3) | vi.iterations(600)).x

    def hqs(weight, levels=levels):
        return vi.solve(data + vi.PnP(D), vi.HQS(noise, levels, weight), x0=first, stop=vi.iterations(len(levels))).x

    def admm(share):
        solver = vi.ADMM(adapt=0, rho=share * A.norm() ** 2, relaxation=1.0)
        return vi.solve(data + vi.PnP(D, sigma=0.03 * TOP), solver, x0=first, stop=vi.iterations(25)).x

    found = {
        "TV": best(variation, truth, 1.2, 1.5),
        "HQS": best(lambda w: hqs(w, usual), truth, 0.25, 2),
        "HQS-15": best(hqs, truth, 0.25, 2),
        "ADMM": best(admm, truth, 0.01, 2),
        "restore": (vi.psnr(vi.restore(A, y, D, noise).x, truth, data_range=TOP), 0.23),
    }
    words = "".join(f"  {m} {p:.2f} ({s:.3g})" for m, (p, s) in found.items())
    gain = max(p for p, _ in found.values()) - found["TV"][0]
    print(
        f"{name:<11}{views:>4} views  FBP {vi.psnr(first, truth, data_range=TOP):.2f}{words}  gain {gain:+.2f} dB",
        flush=True,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    net = DnCNN(DATA / "network_weights" / "dncnn6_sigma_gray.npz").eval()
    D = vi.from_torch(net, sigma="map", image=(0, TOP), clip=True)
    views = [int(word) for word in sys.argv[1:] if word.isdigit()] or [60, 30]
    names = [word for word in sys.argv[1:] if not word.isdigit()] or ["photograph", "ellipses", "shepp-logan"]
    for count in views:
        for name in names:
            compare(name, count, D)
