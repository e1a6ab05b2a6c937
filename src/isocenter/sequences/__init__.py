# SPDX-License-Identifier: MIT
"""Loading, listing and building sequences. pypulseq lives here and only here."""
