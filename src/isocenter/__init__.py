# SPDX-License-Identifier: MIT
"""Isocenter, a control console for low-field MRI scanners built from open hardware."""

import os

# Before any numerical library loads, here and in every process started from here: a console measures, reconstructs and draws
# at once, and an OpenMP thread that spins while it waits takes a processor from whoever needs it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
