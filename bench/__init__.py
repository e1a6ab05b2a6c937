# SPDX-License-Identifier: MIT
"""Speed, measured as ratios against peers in one run. ``python -m bench [NAME ...]``."""
