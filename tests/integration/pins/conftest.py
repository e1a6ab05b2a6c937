# SPDX-License-Identifier: MIT
"""Makes the timing model of the device tests, and this folder's own helper, importable by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "devices" / "support"))
sys.path.insert(0, str(Path(__file__).parent / "support"))
