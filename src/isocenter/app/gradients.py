# SPDX-License-Identifier: MIT
"""From a scan of a lattice phantom to a file that says what the gradient coils do, and from the file to corrections."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from isocenter.app.files import new_folder
from isocenter.app.images import is_scan_folder
from isocenter.config.coil_files import coils_text, load_lattice
from isocenter.domain.errors import ReconError, StorageError
from isocenter.domain.units import signed
from isocenter.recon.correct.nonlinearity_lattice import Lattice
from isocenter.recon.gradient_map import GradientMap, measure_coils
from isocenter.storage.stored import read_raw, recover
from isocenter.virtual.phantoms.simple import GRID_BALL_RADIUS_M, GRID_MARKER_LPS_M, GRID_PITCH_M, grid_points_m

GRID: Final = "grid"
"""The lattice phantom of the virtual scanner; the same can be printed."""


def measure_gradients(scan_folder: Path, out: Path, phantom: str = GRID) -> dict[str, Any]:
    """Measure the gradient coils and write what they do to a file.

    Parameters
    ----------
    scan_folder
        A scan of the sequence gradient_map.
    out
        File to write; must not exist.
    phantom
        ``grid``, or the path of a file that describes another lattice.

    Returns
    -------
        ``text`` for people, and the figures.

    Raises
    ------
    StorageError, ConfigError, ReconError
        Nothing is written then.
    """
    if not is_scan_folder(scan_folder):
        raise StorageError(f"'{scan_folder}' is not a scan.", "Give the folder of a scan of the sequence gradient_map.")
    if out.exists():
        raise StorageError(f"There is a file '{out}' already.", "Choose another name, or move that file away first.")
    lattice = find_lattice(phantom)
    record = recover(scan_folder).record
    scanner = record.request.scanner
    name = f"{scan_folder.resolve().name}, {record.started_at}"
    found = measure_coils(
        read_raw(scan_folder), lattice, radius_m=scanner.magnet.imaging_diameter_m / 2, name=name, scanner=scanner.name
    )
    with new_folder(out.parent) as folder:
        (folder / out.name).write_text(coils_text(found.fit.field), encoding="utf-8")
    return {"text": _said(found, out), "file": str(out), **_figures(found)}


def find_lattice(phantom: str) -> Lattice:
    """A lattice phantom by name or file.

    Raises
    ------
    ConfigError
        The file is missing or wrong.
    """
    if phantom == GRID:
        points_m, marker_m = grid_points_m(), GRID_MARKER_LPS_M
        pitch_m, radius_m = GRID_PITCH_M, GRID_BALL_RADIUS_M
    else:
        file = load_lattice(Path(phantom))
        points_m, marker_m, pitch_m, radius_m = file.points_m(), file.marker_lps_m, file.pitch_m, file.ball_radius_m
    away = np.linalg.norm(points_m - np.array(marker_m), axis=1)
    marker = int(np.argmin(away))
    if away[marker] > 0.1 * pitch_m:
        raise ReconError(
            f"The larger ball of the phantom '{phantom}' lies {away[marker] * 1e3:.1f} mm from the nearest place of a ball.",
            "Correct marker_lps_m in the phantom's file; it must be one of the places.",
        )
    return Lattice(points_m=points_m, pitch_m=pitch_m, ball_radius_m=radius_m, marker=marker)


def _figures(found: GradientMap) -> dict[str, Any]:
    return {
        "balls": found.fit.field.n_points,
        "balls_of_phantom": found.n_balls,
        "harmonics": len(found.fit.field.keys),
        "before_m": found.before_rms_m,
        "after_m": found.fit.field.rms_m,
        "foretold_m": found.fit.foretold_rms_m,
        "main_field_m": found.field_rms_m,
        "scale": list(found.fit.scale),
        "phantom_shift_m": found.fit.shift_m.tolist(),
    }


def _said(found: GradientMap, out: Path) -> str:
    fit = found.fit
    scale = ", ".join(f"{axis} {signed(100 * (value - 1), 2)} %" for axis, value in zip("xyz", fit.scale, strict=True))
    lines = [
        f"{fit.field.n_points} of {found.n_balls} balls were found within {fit.field.reach_m * 1e3:.0f} mm.",
        f"They showed {found.before_rms_m * 1e3:.2f} mm from where they lie (rms); {len(fit.field.keys)} harmonics leave "
        f"{fit.field.rms_m * 1e3:.2f} mm, and {fit.foretold_rms_m * 1e3:.2f} mm of balls that were left out.",
        f"Gradients at the isocenter, over the hardware file's: {scale}.",
        f"The main field moved them by {found.field_rms_m * 1e3:.2f} mm along the readout, which cancels.",
        f"Written to {out}. Use it with `isocenter reconstruct SCAN --gradient-map {out}`.",
    ]
    return "\n".join(lines)
