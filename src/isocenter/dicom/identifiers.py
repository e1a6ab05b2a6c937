# SPDX-License-Identifier: MIT
"""Identifiers of our own: UIDs under 2.25 need no registration (DICOM PS3.5 B.2)."""

import uuid
from typing import Final

IMPLEMENTATION_CLASS_UID: Final = "2.25.125898210919275165203258478119784800624"
"""Names this program in every file; drawn once, never changed."""

IMPLEMENTATION_VERSION_NAME: Final = "ISOCENTER_0_1"

MR_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.4"


def new_uid() -> str:
    """Fresh identifier for a study, series, frame of reference or image, at most 44 characters."""
    return f"2.25.{uuid.uuid4().int}"
