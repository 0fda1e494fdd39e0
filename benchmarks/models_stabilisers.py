"""Accuracy and stability constants of reconstruction maps, alone and after a stabilising pre-step (E15).

    python benchmarks/models_stabilisers.py

Photographs of scikit-image, 256², grey in [0, 1], behind an 11 × 11 Gaussian blur of standard deviation 1.3, periodic.
The updates are those of conjugate gradients on ½‖Ax − y‖² + ½·0.01²‖x‖².  C(σ) is the stability constant at noise of
standard deviation σ, PSNR the mean over the images.
"""

import numpy as np
from skimage import data, transform
from skimage.color import rgb2gray

import varinv as vi

NAMES = ("camera", "astronaut", "coffee", "moon", "coins", "page", "chelsea", "rocket", "brick", "grass")


def photographs(count=10):
    """The first `count` images, resized to squares."""
    images = []
    for name in NAMES[:count]:
        x = getattr(data, name)()
        x = rgb2gray(x) if x.ndim == 3 else x / 255.0
        images.append(transform.resize(x, (256, 256), anti_aliasing=True))
    return images


def gaussian(shape, sigma, size):
    t = np.arange(size) - size // 2
    k = np.exp(-(t**2) / (2 * sigma**2))
    return vi.Blur(shape, np.outer(k, k) / k.sum() ** 2)


def maps(A):
    smooth = gaussian(A.domain, 1.0, 9)
    hundred = vi.cgls_steps(A, 100, 0.01**2)
    return {
        "identity": lambda y: y,
        "Gauss 1": smooth,
        "2 updates": vi.cgls_steps(A, 2, 0.01**2),
        "3 updates": vi.cgls_steps(A, 3, 0.01**2),
        "100 updates": hundred,
        "100 after Gauss": vi.Stabilised(smooth, hundred),
    }


def table(images, names=None, levels=(0.01, 0.025, 0.05)):
    A = gaussian(images[0].shape, 1.3, 11)
    chosen = maps(A)
    return {name: {level: vi.stability(chosen[name], A, images, level) for level in levels} for name in names or chosen}


def psnr(errors, size=256 * 256):
    """Mean PSNR at peak 1 of errors ‖x − truth‖."""
    return float(np.mean([20 * np.log10(np.sqrt(size) / e) for e in errors]))


def main():
    found = table(photographs())
    print(f"{'':<17}{'PSNR 0/.01/.025/.05':>24}{'eta':>8}{'C(.01)':>8}{'C(.05)':>8}")
    for name, row in found.items():
        quality = [psnr(row[0.01].clean)] + [psnr(row[s].errors) for s in (0.01, 0.025, 0.05)]
        figures = "/".join(f"{q:.2f}" for q in quality)
        print(f"{name:<17}{figures:>24}{row[0.01].accuracy:8.1f}{row[0.01].constant:8.3f}{row[0.05].constant:8.3f}")
    c = {name: {s: r.constant for s, r in row.items()} for name, row in found.items()}
    p = {name: psnr(row[0.01].errors) for name, row in found.items()}
    gain = c["100 updates"][0.01] / max(c["100 after Gauss"][0.01], 1e-9)
    for words, value, ok in (
        ("2 updates: C(.05) ≤ .15", c["2 updates"][0.05], c["2 updates"][0.05] <= 0.15),
        ("100 updates: C(.01) ≥ 5", c["100 updates"][0.01], c["100 updates"][0.01] >= 5),
        ("3 updates: PSNR(.01) 28.35 ± .3", p["3 updates"], abs(p["3 updates"] - 28.35) <= 0.3),
        ("100 updates: PSNR(.01) 14.3 ± 1", p["100 updates"], abs(p["100 updates"] - 14.3) <= 1),
        ("Gauss first: C(.01) at least 5 times lower", gain, gain >= 5),
    ):
        print(f"E15 {words}: {value:.3g} {'ok' if ok else 'OUTSIDE'}")


if __name__ == "__main__":
    main()
