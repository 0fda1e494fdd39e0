"""Real scans: `read` opens a file or folder as a `Scan`, which hands out line integrals and the geometry they fit."""

from varinv.scan.errors import ScanError, ScanWarning
from varinv.scan.image import read_image
from varinv.scan.reader import read
from varinv.scan.saved import SavedResult
from varinv.scan.scan import Scan

__all__ = ["SavedResult", "Scan", "ScanError", "ScanWarning", "read", "read_image"]
