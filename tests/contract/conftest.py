# SPDX-License-Identifier: MIT
"""Makes the helpers of the device tests importable by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "devices" / "support"))
sys.path.insert(0, str(Path(__file__).parent / "support"))
