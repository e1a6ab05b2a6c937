# SPDX-License-Identifier: MIT
"""Images as DICOM objects."""
