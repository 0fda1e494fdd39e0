"""What the tests of learning share: small noisy images, and the upper level of a family."""

from __future__ import annotations

from typing import Any

import numpy as np

from varinv.learning.losses import supervised
from varinv.learning.oracle import Bilevel


def bilevel(family: Any, pairs: Any, theta0: Any, **options: Any) -> Bilevel:
    return Bilevel(family=family, cases=supervised(pairs, getattr(family, "loss", None)), theta0=theta0, **options)


def images(count: int, shape: tuple[int, ...] = (7, 6), seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    truths = [np.cumsum(rng.standard_normal(shape), axis=0) / 3 for _ in range(count)]
    return [(x + 0.1 * rng.standard_normal(shape), x) for x in truths]
