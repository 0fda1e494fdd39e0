"""A denoiser for the demos: the stored DnCNN where the data folder is, else non-local means.

`VARINV_DATA` names the folder (None: ../shared/data beside the repository); it holds network_weights/*.npz.
"""

import os
from pathlib import Path

import numpy as np
from skimage.restoration import denoise_nl_means

import varinv as vi

DATA = Path(os.environ.get("VARINV_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
WEIGHTS = DATA / "network_weights" / "dncnn6_sigma_gray.npz"


def dncnn(path):
    """Six 3 × 3 convolutions with periodic edges: batch (n, image and noise level, rows, columns) -> (n, 1, …)."""
    stored = np.load(path, allow_pickle=False)
    layers = [(stored[f"weight_{k}"], stored[f"bias_{k}"]) for k in range(len(stored.files) // 2)]

    def network(batch):
        u = batch.astype("f4")
        for k, (weight, bias) in enumerate(layers):
            v = np.pad(u, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="wrap")
            windows = np.lib.stride_tricks.sliding_window_view(v, (3, 3), axis=(2, 3))
            u = np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True) + bias[:, None, None]
            u = np.maximum(u, 0) if k < len(layers) - 1 else u
        return batch[:, :1] - u[:, :1]

    return network


def denoiser(image=(0.0, 1.0)):
    """(name, denoiser) for images with values in `image`."""
    if WEIGHTS.is_file():
        return "DnCNN, 6 layers", vi.Network(dncnn(WEIGHTS), sigma="map", image=image, clip=True)

    def means(batch, sigma):
        return np.stack([denoise_nl_means(b[0], 5, 6, 0.7 * sigma, sigma=sigma)[None] for b in batch])

    name = "non-local means (no stored network here)"
    return name, vi.Network(means, sigma="argument", image=image, clip=True)
