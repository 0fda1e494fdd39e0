from varinv.learning.families.quadratic import Quadratic as Quadratic
from varinv.learning.families.tv import TV as TV
