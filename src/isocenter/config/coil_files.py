# SPDX-License-Identifier: MIT
"""Files about gradient coils: what was measured of them, and the phantom with which it was measured.

docs/corrections.md shows both.
"""

import math
from pathlib import Path
from typing import Annotated, Final, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator

from isocenter.config.files import read_toml
from isocenter.config.problems import Kind, explain
from isocenter.domain.harmonics import CoilField, harmonic_key, harmonic_name

_MANUAL: Final = "docs/corrections.md"
_LARGEST_SHARE: Final = 0.5  # of the radius, by which a harmonic may move things
_AXES: Final = ("x", "y", "z")


def _known(weights: dict[str, float]) -> dict[str, float]:
    for name, value in weights.items():
        harmonic_key(name)
        if not math.isfinite(value):
            raise ValueError(f"found {value} for '{name}'; allowed is a length in metres")
    return weights


Weights = Annotated[dict[str, Annotated[float, Strict()]], AfterValidator(_known)]
Length = Annotated[float, Strict(), Field(gt=0, le=1.0)]
Place = tuple[float, float, float]


class CoilFile(BaseModel):
    """What ``isocenter gradients`` writes: displacement along each device axis by solid harmonic [m at the radius]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Strict()]
    scanner: Annotated[str, Strict()]
    radius_m: Length
    reach_m: Length
    rms_m: Annotated[float, Strict(), Field(ge=0, le=0.1)]
    n_points: Annotated[int, Strict(), Field(ge=1)]
    x: Weights
    y: Weights
    z: Weights

    @model_validator(mode="after")
    def _not_absurd(self) -> Self:
        for axis in _AXES:
            for name, value in getattr(self, axis).items():
                if abs(value) > _LARGEST_SHARE * self.radius_m:
                    raise ValueError(
                        f"found {value:g} m for '{name}' of {axis}; no gradient coil moves things by more than "
                        f"{_LARGEST_SHARE * self.radius_m:g} m"
                    )
        return self


class LatticeFile(BaseModel):
    """A phantom with balls at the nodes of a cubic lattice, or at listed places; patient axes (LPS), the middle is 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pitch_m: Length
    ball_radius_m: Length
    reach_m: Annotated[float, Strict(), Field(ge=0, le=1.0)] = 0.0
    points_lps_m: tuple[Place, ...] = ()
    marker_lps_m: Place

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.points_lps_m) == bool(self.reach_m):
            raise ValueError("give either reach_m, for all nodes of the lattice within it, or points_lps_m")
        if self.ball_radius_m > 0.35 * self.pitch_m:
            raise ValueError(
                f"found balls of radius {self.ball_radius_m:g} m every {self.pitch_m:g} m; they must be at most "
                f"{0.35 * self.pitch_m:g} m to be told apart"
            )
        return self

    def points_m(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Centres of the balls, LPS [m], shape ``(n, 3)``."""
        if self.points_lps_m:
            return np.array(self.points_lps_m, dtype=np.float64)
        n = int(self.reach_m / self.pitch_m + 1e-9)
        axis = np.arange(-n, n + 1) * self.pitch_m
        nodes = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
        return np.asarray(nodes[np.linalg.norm(nodes, axis=1) <= self.reach_m + 1e-9])


def load_lattice(path: Path) -> LatticeFile:
    """A lattice phantom from its file.

    Raises
    ------
    ConfigError
        The file is missing or wrong; names file, line, key, what was found and what is allowed.
    """
    text, raw = read_toml(path, noun="phantom file", choose="Give the file that describes the phantom.", manual=_MANUAL)
    try:
        return LatticeFile.model_validate(raw)
    except ValidationError as error:
        raise explain(path, text, error.errors(), Kind(model=LatticeFile, manual=_MANUAL)) from None


def load_coils(path: Path) -> CoilField:
    """What was measured of gradient coils.

    Raises
    ------
    ConfigError
        As for ``load_lattice``.
    """
    choose = "Give the file that `isocenter gradients` wrote."
    text, raw = read_toml(path, noun="map of gradients", choose=choose, manual=_MANUAL)
    try:
        file = CoilFile.model_validate(raw)
    except ValidationError as error:
        raise explain(path, text, error.errors(), Kind(model=CoilFile, manual=_MANUAL)) from None
    tables = [{harmonic_key(name): value for name, value in getattr(file, axis).items()} for axis in _AXES]
    keys = tuple(sorted({(1, 0, False), *(key for table in tables for key in table)}))
    return CoilField(
        keys=keys,
        weights_m=np.array([[table.get(key, 0.0) for key in keys] for table in tables]),
        radius_m=file.radius_m,
        reach_m=file.reach_m,
        rms_m=file.rms_m,
        n_points=file.n_points,
        name=file.name,
        scanner=file.scanner,
    )


def coils_text(field: CoilField) -> str:
    """The file for what was measured; ``load_coils`` gives the same field back."""
    lines = [
        "# What the gradient coils of one scanner do, measured with a lattice phantom. `isocenter reconstruct SCAN",
        "# --gradient-map THIS_FILE` puts images right with it.",
        f"name = {_quoted(field.name)}",
        f"scanner = {_quoted(field.scanner)}",
        f"radius_m = {float(field.radius_m)!r}",
        f"reach_m = {float(field.reach_m)!r}",
        f"rms_m = {float(field.rms_m)!r}",
        f"n_points = {field.n_points}",
    ]
    for axis, weights in zip(_AXES, field.weights_m, strict=True):
        lines += ["", f"[{axis}] # displacement along device {axis}: peak of each solid harmonic at radius_m [m]"]
        lines += [f"{harmonic_name(key)} = {float(weight)!r}" for key, weight in zip(field.keys, weights, strict=True)]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
