# SPDX-License-Identifier: MIT
"""Corrections: interference, drift, distortion, concomitant fields, intensity, noise. See docs/corrections.md."""
