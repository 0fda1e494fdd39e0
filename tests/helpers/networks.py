"""Small convolutional networks in NumPy for the tests, and the stored ones of the data folder."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np


def best(quality, first, ratio):
    """The largest quality(first·ratioᵏ) over the integers k about 0, both neighbours of the best known to be worse."""
    at = functools.cache(lambda k: quality(first * ratio**k))
    k = max((0, 1), key=at)
    while (better := max((k - 1, k, k + 1), key=at)) != k:
        k = better
    return at(k)


def conv(x, weight, bias, wrap=False):
    """Correlation of a batch (n, c, h, w) with weights (out, c, kh, kw), same size; zeros or wrapped outside."""
    kh, kw = weight.shape[2:]
    pad = ((0, 0), (0, 0), (kh // 2, (kh - 1) // 2), (kw // 2, (kw - 1) // 2))
    padded = np.pad(x, pad, mode="wrap" if wrap else "constant")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(2, 3))  # n c h w kh kw
    n, _, h, w = x.shape
    columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * h * w, -1)
    out = columns @ weight.reshape(weight.shape[0], -1).T + bias
    return out.reshape(n, h, w, -1).transpose(0, 3, 1, 2)


def layers(path: Path):
    stored = np.load(path, allow_pickle=False)
    count = sum(name.startswith("weight_") for name in stored.files)
    first = min(int(name.split("_")[1]) for name in stored.files if name.startswith("weight_"))
    return [(stored[f"weight_{k}"], stored[f"bias_{k}"]) for k in range(first, first + count)]


def dncnn(parameters, wrap):
    """x − last layer (its first channel); the input may carry a noise map as a second channel."""

    def network(batch):
        u = batch.astype("f4")
        for k, (weight, bias) in enumerate(parameters):
            u = conv(u, weight, bias, wrap)
            if k < len(parameters) - 1:
                u = np.maximum(u, 0)
        return batch[:, :1] - u[:, :1]

    return network
