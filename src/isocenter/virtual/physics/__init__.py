# SPDX-License-Identifier: MIT
"""Bloch simulation of a phantom in an imperfect magnet."""
