"""varinv: variational inverse problems in imaging — certified operators, solvers and regularisers on any array library.

>>> import varinv as vi
>>> import numpy as np
>>> noisy = np.array([[0.0, 0.1, 1.0], [0.1, 0.0, 0.9]])
>>> vi.solve(vi.L2Squared(noisy) + 0.05 * vi.TV(noisy.shape), stop=vi.gap(1e-6)).why
'relative gap ... ≤ 1e-06'
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # the names stand in __init__.pyi
