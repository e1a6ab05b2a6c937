# SPDX-License-Identifier: MIT
"""Images of scans that are not sampled on a Cartesian grid. See docs/nufft.md."""

from isocenter.recon.nufft.noncartesian import NonCartesianImage, NonCartesianOptions, reconstruct_noncartesian

__all__ = ["NonCartesianImage", "NonCartesianOptions", "reconstruct_noncartesian"]
