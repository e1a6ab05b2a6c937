# SPDX-License-Identifier: MIT
"""Service calibrations: what a service person measures with a phantom, now and then, never with a patient."""
