# SPDX-License-Identifier: MIT
"""What is measured before a scan: so far the frequency."""
