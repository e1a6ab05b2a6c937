# SPDX-License-Identifier: MIT
"""Virtual devices at the far end of real lines, and the truth about the virtual scanner that they share."""
