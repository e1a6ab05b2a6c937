# SPDX-License-Identifier: MIT
"""Isocenter, a control console for low-field MRI scanners built from open hardware."""

__version__ = "0.1.0"
