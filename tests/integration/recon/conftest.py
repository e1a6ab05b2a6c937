# SPDX-License-Identifier: MIT
"""Makes the helpers of the unit tests importable by name."""

import sys
from pathlib import Path

UNIT = Path(__file__).parents[2] / "unit"
sys.path.insert(0, str(UNIT / "recon" / "support"))
sys.path.insert(0, str(UNIT / "storage"))
