# SPDX-License-Identifier: MIT
"""From samples to images: receive filters, Fourier transforms, corrections."""
