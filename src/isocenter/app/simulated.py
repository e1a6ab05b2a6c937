# SPDX-License-Identifier: MIT
"""How images of a virtual scanner say that they show nobody, whoever was registered for them."""

from typing import Final

from isocenter.domain.patient import Patient

LONGEST_DESCRIPTION: Final = 64
"""Characters of a DICOM LO; what sets a series apart stands at the end and must not be cut off."""


def simulated_comment(console: str) -> str:
    """Sentence for Image Comments; empty for images of a real console, or when nobody knows.

    Parameters
    ----------
    console
        What answered at the console's address, as a scan's record keeps it: ``MaRCoS 1.0.5 (virtual)``.
    """
    is_simulated = bool(console) and not console.endswith("(hardware)")
    return "Simulated on a virtual scanner: this shows nobody." if is_simulated else ""


def series_description(name: str, suffix: str, console: str, patient: Patient) -> str:
    """A series' name with all that sets it apart, cut to length in front of that.

    The name of a person gets a mark; that of a phantom says already that it is one.
    """
    marked = f"{suffix} (simulated)" if simulated_comment(console) and not patient.is_phantom else suffix
    return f"{name[: max(LONGEST_DESCRIPTION - len(marked), 0)]}{marked}"
