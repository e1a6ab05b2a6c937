# SPDX-License-Identifier: MIT
"""Scan folders, raw data, and images on disk."""
