"""The public names, one line each: `varinv/__init__.py` loads a module when one of its names is first used."""

from .functionals.base import Functional as Functional
from .functionals.constraints import Box as Box
from .functionals.constraints import L2Ball as L2Ball
from .functionals.constraints import NonNegative as NonNegative
from .functionals.data import KullbackLeibler as KullbackLeibler
from .functionals.data import L2Squared as L2Squared
from .functionals.sparsity import L1 as L1
from .functionals.sparsity import L21 as L21
from .functionals.sparsity import Huber as Huber
from .functionals.tv import TV as TV
from .metrics import psnr as psnr
from .metrics import relative_error as relative_error
from .metrics import ssim as ssim
from .operators.base import LinearOperator as LinearOperator
from .operators.blur import Blur as Blur
from .operators.elementary import Diagonal as Diagonal
from .operators.elementary import Identity as Identity
from .operators.fbp import fbp as fbp
from .operators.fbp_weights import MissingArcWarning as MissingArcWarning
from .operators.geometry import FanBeam as FanBeam
from .operators.geometry import ParallelBeam as ParallelBeam
from .operators.gradient import Gradient as Gradient
from .operators.radon import Radon as Radon
from .operators.radon_astra import AstraRadon as AstraRadon
from .operators.sampling import Downsampling as Downsampling
from .operators.sampling import Subsampling as Subsampling
from .problem import Problem as Problem
from .problem import Term as Term
from .result import Result as Result
from .scan import Scan as Scan
from .scan import ScanError as ScanError
from .scan import ScanWarning as ScanWarning
from .scan import read as read
from .solvers.base import Solver as Solver
from .solvers.base import last as last
from .solvers.base import until as until
from .solvers.cgls import CGLS as CGLS
from .solvers.chambolle_pock import ChambollePock as ChambollePock
from .solvers.rules import gap as gap
from .solvers.rules import iterations as iterations
from .solvers.rules import residual as residual
from .solvers.rules import seconds as seconds
from .solvers.rules import small_change as small_change
from .solvers.solve import solve as solve

__version__: str
