# SPDX-License-Identifier: MIT
"""A measured field as a table of places and tesla: read, fitted with solid harmonics, and continued where nobody measured.

Inside the measured volume the field is the fit plus what the fit leaves, interpolated between the points. Outside it is
the fit alone, and beyond ``REACH`` times the measured radius it stays as it is there: a fit of high order explodes.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ConfigError
from isocenter.domain.harmonics import LARGEST_ORDER, harmonic_keys, harmonic_values
from isocenter.domain.units import GAMMA_HZ_PER_T

Places = NDArray[np.floating]

REACH: Final = 1.25
_LARGEST_BYTES: Final = 50_000_000
_FEWEST_POINTS: Final = 30
_LENGTHS: Final = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
_FIELDS: Final = {"t": 1.0, "mt": 1e-3, "ut": 1e-6, "g": 1e-4, "gauss": 1e-4}
_COLUMNS: Final = ("x", "y", "z", "b0")
_LARGEST_PLACE_M, _LARGEST_FIELD_T, _SMALLEST_FIELD_T = 1.0, 3.0, 1e-3
_SHOWN: Final = (
    'Give columns X, Y, Z, B0 in metres and tesla, or name units in the first line, such as "X_mm,Y_mm,Z_mm,B0_mT".'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTable:
    """Points of a measured field.

    Attributes
    ----------
    position_m
        Device axes [m], float64, shape ``(n, 3)``.
    b0_t
        Field [T], float64, shape ``(n,)``.
    """

    position_m: NDArray[np.float64]
    b0_t: NDArray[np.float64]


def read_table(path: Path) -> FieldTable:
    """Read a CSV file with columns X, Y, Z, B0.

    Columns are separated by comma, semicolon, tab or blanks; lines that begin with ``#`` are remarks; a first line with
    names may put the columns in another order and give their units.

    Raises
    ------
    ConfigError
        It cannot be read, or a line of it is wrong; names file, line and what was found.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ConfigError(f"{path} is larger than 50 MB; that is no table of a field.", _SHOWN)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text.", "Save the table as plain text (CSV, UTF-8).") from None
    except OSError as error:
        raise ConfigError(
            f"The field table {path} cannot be read: {error.strerror or error}.",
            "Correct magnet.table in the scenario file; a relative path counts from that file's folder.",
        ) from None
    numbered = [(number, line.strip()) for number, line in enumerate(lines, start=1)]
    numbered = [(number, line) for number, line in numbered if line and not line.startswith("#")]
    if not numbered:
        raise ConfigError(f"The field table {path} is empty.", _SHOWN)
    split = _splitter(numbered[0][1])
    order, scale = [0, 1, 2, 3], [1.0, 1.0, 1.0, 1.0]
    if re.search(r"[A-Za-z]", re.sub(r"(?i)nan|inf|\d[eE][+-]?\d", "", numbered[0][1])):
        order, scale = _header(path, numbered[0][0], split(numbered[0][1]))
        numbered = numbered[1:]
    values = np.array([_row(path, number, split(line), order) for number, line in numbered]).reshape(-1, 4) * scale
    _check(path, values)
    return FieldTable(position_m=values[:, :3].copy(), b0_t=values[:, 3].copy())


class _Splitter:
    """Cuts a line at its table's separator; a comma is a decimal point where semicolons or tabs separate."""

    def __init__(self, separator: str | None) -> None:
        self._separator = separator

    def __call__(self, line: str) -> list[str]:
        if self._separator is None:
            return line.replace(",", ".").split() if "," in line and "." not in line else line.split()
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=self._separator))]
        return cells if self._separator == "," else [cell.replace(",", ".") for cell in cells]


def _splitter(line: str) -> _Splitter:
    return _Splitter(next((mark for mark in (";", "\t", ",") if mark in line), None))


def _header(path: Path, number: int, cells: list[str]) -> tuple[list[int], list[float]]:
    """Which column is X, Y, Z and B0, and what its unit is in SI."""
    found: dict[str, tuple[int, float]] = {}
    for column, cell in enumerate(cells):
        match = re.fullmatch(r"([A-Za-z]+0?)[\s_]*[\[(]?\s*([A-Za-z]*)\s*[\])]?", cell.strip("\"'"))
        name = match[1].lower() if match else ""
        name = "b0" if name in {"b", "bz", "field"} else name
        if match is None or name not in _COLUMNS:
            continue
        units = _FIELDS if name == "b0" else _LENGTHS
        unit = match[2].lower() or ("t" if name == "b0" else "m")
        if unit not in units:
            raise ConfigError(
                f"{path}, line {number}: found the unit '{match[2]}' for {name.upper()}; known are {', '.join(units)}.",
                _SHOWN,
            )
        found[name] = (column, units[unit])
    missing = [name.upper() for name in _COLUMNS if name not in found]
    if missing:
        raise ConfigError(f"{path}, line {number}: found no column {' and no column '.join(missing)}.", _SHOWN)
    return [found[name][0] for name in _COLUMNS], [found[name][1] for name in _COLUMNS]


def _row(path: Path, number: int, cells: list[str], order: list[int]) -> list[float]:
    if len(cells) <= max(order):
        raise ConfigError(f"{path}, line {number}: found {len(cells)} columns; {max(order) + 1} are needed.", _SHOWN)
    try:
        values = [float(cells[column]) for column in order]
    except ValueError:
        raise ConfigError(
            f"{path}, line {number}: found {', '.join(cells)!r}, which are not four numbers.", _SHOWN
        ) from None
    if not np.isfinite(values).all():
        raise ConfigError(
            f"{path}, line {number}: found a value that is not finite.", "Delete the lines of points that were not measured."
        )
    return values


def _check(path: Path, values: NDArray[np.float64]) -> None:
    if len(values) < _FEWEST_POINTS:
        raise ConfigError(f"{path} has {len(values)} points; at least {_FEWEST_POINTS} are needed.", "Measure more points.")
    far_m, field_t = float(np.abs(values[:, :3]).max()), np.abs(values[:, 3])
    if far_m > _LARGEST_PLACE_M:
        raise ConfigError(f"{path}: found a point {far_m:g} m from the isocenter; that is not in a bore.", _SHOWN)
    if field_t.max() > _LARGEST_FIELD_T or field_t.min() < _SMALLEST_FIELD_T:
        raise ConfigError(
            f"{path}: found fields from {field_t.min():g} to {field_t.max():g} T; allowed is 0.001 to 3 T.", _SHOWN
        )
    singular = np.linalg.svd(values[:, :3] - values[:, :3].mean(axis=0), compute_uv=False)
    if singular[2] < 0.02 * singular[0]:
        raise ConfigError(
            f"{path}: all points lie on a line or in a plane, so the field around them cannot be known.",
            "Measure points throughout a volume.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredField:
    """A measured field as a function of the place.

    Attributes
    ----------
    name
        Where it comes from.
    n_points
        Measured points.
    mean_t
        Mean field over the points in the imaging sphere, which counts as the centre [T].
    spread_hz
        Peak to peak over those points [Hz].
    order
        Of the harmonic fit, chosen by how well it foretells points that it has not seen.
    residual_hz
        Root mean square of what the fit leaves [Hz].
    radius_m
        Distance of the farthest point from the isocenter [m].
    """

    name: str
    n_points: int
    mean_t: float
    spread_hz: float
    order: int
    residual_hz: float
    radius_m: float
    _coefficients: NDArray[np.float64]
    _grid: "_Grid | None"

    def offset_hz(self, position_m: Places) -> NDArray[np.float64]:
        """Deviation from the mean [Hz] at places in device axes, shape ``(n, 3)``."""
        unit = np.asarray(position_m, dtype=np.float64) / self.radius_m
        far = np.linalg.norm(unit, axis=1)
        inside = unit * np.minimum(1.0, REACH / np.maximum(far, 1e-9))[:, None]
        out = self._coefficients @ harmonic_values(inside, harmonic_keys(self.order))
        if self._grid is not None:
            out += self._grid.at(position_m)
        return np.asarray(out)

    def describe(self) -> str:
        """One sentence for a person."""
        grid = "and the rest interpolated" if self._grid is not None else "the rest left out, since its points are no grid"
        return (
            f"{self.n_points} points, {self.mean_t * 1e3:.2f} mT, {self.spread_hz:.0f} Hz peak to peak "
            f"({self.spread_hz / GAMMA_HZ_PER_T / self.mean_t * 1e6:.0f} ppm); harmonics to order {self.order} leave "
            f"{self.residual_hz:.1f} Hz root mean square, {grid}; measured to {self.radius_m * 1e3:.0f} mm from the centre"
        )


def fit_table(table: FieldTable, imaging_radius_m: float, *, name: str = "") -> MeasuredField:
    """Fit a table with as many harmonics as it supports.

    The order is the smallest whose error on points left out is within a twentieth of the least.
    """
    inside = np.linalg.norm(table.position_m, axis=1) <= imaging_radius_m * (1 + 1e-6)
    chosen_t = table.b0_t[inside] if inside.any() else table.b0_t
    mean_t = float(chosen_t.mean())
    offset_hz = (table.b0_t - mean_t) * GAMMA_HZ_PER_T
    radius_m = float(np.linalg.norm(table.position_m, axis=1).max())
    unit = table.position_m / radius_m
    errors: dict[int, float] = {}
    for order in range(1, LARGEST_ORDER - 1):
        if 2 * (order + 1) ** 2 > len(unit):
            break
        errors[order] = _left_out_error(unit, offset_hz, order)
    order = min(o for o, error in errors.items() if error <= 1.05 * min(errors.values()) + 1e-3)
    basis = harmonic_values(unit, harmonic_keys(order)).T
    coefficients = np.asarray(np.linalg.lstsq(basis, offset_hz, rcond=1e-10)[0], dtype=np.float64)
    left_hz = offset_hz - basis @ coefficients
    return MeasuredField(
        name=name,
        n_points=len(unit),
        mean_t=mean_t,
        spread_hz=float((chosen_t.max() - chosen_t.min()) * GAMMA_HZ_PER_T),
        order=order,
        residual_hz=float(np.sqrt((left_hz**2).mean())),
        radius_m=radius_m,
        _coefficients=coefficients,
        _grid=_grid(table.position_m, left_hz),
    )


def _left_out_error(unit: NDArray[np.float64], offset_hz: NDArray[np.float64], order: int) -> float:
    """Root mean square error on points foretold by the others [Hz]; each fifth of them is left out once."""
    basis = harmonic_values(unit, harmonic_keys(order)).T
    part = np.random.default_rng(len(unit)).permutation(len(unit)) % 5
    total = 0.0
    for k in range(5):
        found = np.linalg.lstsq(basis[part != k], offset_hz[part != k], rcond=1e-10)[0]
        total += float(((offset_hz[part == k] - basis[part == k] @ found) ** 2).sum())
    return float(np.sqrt(total / len(unit)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """Values on a regular grid, zero outside it."""

    first_m: NDArray[np.float64]
    step_m: NDArray[np.float64]
    values_hz: NDArray[np.float64]

    def at(self, position_m: Places) -> NDArray[np.float64]:
        """Linear interpolation [Hz]."""
        from scipy.ndimage import map_coordinates  # heavy; only scenarios with a table need it

        index = (np.asarray(position_m, dtype=np.float64) - self.first_m) / self.step_m
        return np.asarray(map_coordinates(self.values_hz, index.T, order=1, mode="constant", cval=0.0))


def _grid(position_m: NDArray[np.float64], values_hz: NDArray[np.float64]) -> _Grid | None:
    """Values laid on the grid that the points lie on; None when they lie on none."""
    axes = [np.unique(np.round(position_m[:, axis], 6)) for axis in range(3)]
    steps = np.array([float(np.diff(axis).min()) if len(axis) > 1 else 0.0 for axis in axes])
    if not steps.all():
        return None
    first = np.array([axis[0] for axis in axes])
    index = (position_m - first) / steps
    shape = np.rint(index.max(axis=0)).astype(int) + 1
    if np.abs(index - np.rint(index)).max() > 0.02 or np.prod(shape.astype(float)) > 20.0 * len(position_m):
        return None
    values = np.zeros(tuple(shape))
    values[tuple(np.rint(index).astype(int).T)] = values_hz
    return _Grid(first_m=first, step_m=steps, values_hz=values)
