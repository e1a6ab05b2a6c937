# SPDX-License-Identifier: MIT
"""Images of scans that are not sampled on a Cartesian grid. See docs/nufft.md."""
