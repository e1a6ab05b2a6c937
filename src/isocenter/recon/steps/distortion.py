# SPDX-License-Identifier: MIT
"""Steps that put things where they belong: an uneven main field, gradients that bend."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.harmonics import CoilField
from isocenter.domain.parameters import choice, integer, number
from isocenter.domain.raw import RawScan
from isocenter.recon.places import voxel_positions_m, voxel_steps_m
from isocenter.recon.steps.base import (
    VOLUME_LABELS,
    MeasuredField,
    NoParameters,
    Picture,
    Stage,
    Step,
    Work,
    each_picture,
)
from isocenter.recon.steps.grid import Oversampling, Transform, oversampling, transform
from isocenter.recon.steps.readouts import is_imaging
from isocenter.recon.steps.sort import sort

if TYPE_CHECKING:
    from isocenter.recon.correct.nonlinearity import GradientField


@dataclass(frozen=True, slots=True, kw_only=True)
class B0:
    """How the distortion by the main field is undone."""

    method: str = choice(
        "auto",
        "Method",
        choices=("auto", "conjugate-phase", "model"),
        help="conjugate-phase: one pass, for mild distortion; model: the image that explains the samples, for kilohertz.",
    )
    n_order: int = integer(5, "Order", low=1, high=8, help="Highest order of the solid harmonics of the field's map.")
    n_rounds: int = integer(4, "Steps", low=1, high=50, help="model: steps of the search; more fit noise.")


def b0(work: Work, p: B0) -> Work:
    """Images without the distortion of the main field, by a map measured before or by two echoes of the scan itself."""
    from isocenter.recon.correct.b0 import Undistortion, shift_px, undistort

    if work.raw.encoding is None:
        raise ReconError(
            "Only Cartesian images are distorted along one direction.", "The step 'nufft' takes the map itself."
        )
    field = work.field if work.field is not None else field_of_echoes(work, p.n_order)
    dwell_s = work.raw.dwell_s

    def change(picture: Picture) -> Picture:
        if not np.iscomplexobj(picture.data):
            raise ReconError("The phase of the image is gone.", "Put the step 'b0' before 'combine' and 'output'.")
        places = _positions(picture)
        n_columns = picture.data.shape[-1]
        shift = shift_px(field.frequency_hz(places), dwell_s, n_columns)
        data = picture.data if picture.has_channels else picture.data[np.newaxis]
        done = [undistort(image, shift, method=Undistortion(p.method), n_steps=p.n_rounds) for image in data]
        image = np.stack([one.image for one in done]) if picture.has_channels else done[0].image
        folded = f", {done[0].n_folded} voxels folded onto others" if done[0].n_folded else ""
        said = f"{done[0].method}, moved by up to {done[0].largest_shift_px:.1f} voxels{folded}; {done[0].figure}"
        return dataclasses.replace(picture, data=image, said=said)

    return each_picture(work, change)


def field_of_echoes(work: Work, order: int) -> MeasuredField:
    """The main field from two volumes of one scan whose spins turned freely for different times.

    Raises
    ------
    ReconError
        There are none.
    """
    from isocenter.recon.correct.b0 import shift_px
    from isocenter.recon.correct.b0_map import fit_at_true_places, measure_field

    times_s = _evolution_by_volume(work)
    pictures = [picture for picture in work.pictures if picture.key in times_s and np.iscomplexobj(picture.data)]
    pairs = [
        (first, second)
        for index, first in enumerate(pictures)
        for second in pictures[index + 1 :]
        if abs(times_s[second.key] - times_s[first.key]) > 1e-6 and first.data.shape == second.data.shape
    ]
    if not pairs:
        raise ReconError(
            "There is no map of the main field, nor two echoes at different times in the scan to make one of.",
            "Measure a field map (sequence b0_map) and name it with --field-map.",
        )
    first, second = pairs[0]
    found = measure_field(first.data, second.data, times_s[second.key] - times_s[first.key])
    places = _positions(first)
    _, steps = voxel_steps_m(first.stack.display, _shape(first))
    moved = shift_px(found.frequency_hz, work.raw.dwell_s, first.data.shape[-1])
    return fit_at_true_places(found, places, steps[2], moved, order=order)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldOfAnotherScan:
    """A map that was measured at another frequency of the receiver.

    Attributes
    ----------
    lo_hz
        The receiver's frequency while it was measured [Hz].
    here_hz
        That of the scan to be corrected [Hz].
    """

    field: MeasuredField
    lo_hz: float
    here_hz: float

    def frequency_hz(self, position_m: NDArray[np.floating]) -> NDArray[np.float64]:
        """See ``MeasuredField``."""
        return self.field.frequency_hz(position_m) + (self.lo_hz - self.here_hz)


def measured_field(raw: RawScan, lo_hz: float, order: int = 5) -> MeasuredField:
    """The main field from a scan that measured everything twice with a time between (sequence b0_map).

    Parameters
    ----------
    raw
        That scan.
    lo_hz
        The receiver's frequency in the scan for which the map is wanted [Hz].

    Raises
    ------
    ReconError
        It is no such scan, or its signal is too weak.
    """
    work = sort(Work(raw=raw), NoParameters())
    work = oversampling(work, Oversampling())
    field = field_of_echoes(transform(work, Transform(keeps_readout=True)), order)
    return FieldOfAnotherScan(field=field, lo_hz=raw.lo_hz, here_hz=lo_hz)


def _evolution_by_volume(work: Work) -> dict[tuple[int, ...], float]:
    """For how long phase has grown at the centre of each volume's readouts [s]."""
    raw = work.raw
    if len(raw.evolution_s) != len(raw.samples):
        return {}
    rows = is_imaging(raw) & (raw.label("REV") == 0)
    keys = np.stack([raw.label(name) for name in VOLUME_LABELS], axis=1)
    found = {}
    for key in {picture.key for picture in work.pictures}:
        here = rows & (keys == np.array(key)).all(axis=1) if len(key) == len(VOLUME_LABELS) else np.zeros_like(rows)
        if here.any() and np.isfinite(raw.evolution_s[here]).all():
            found[key] = float(np.median(raw.evolution_s[here]))
    return found


def _shape(picture: Picture) -> tuple[int, int, int]:
    """Voxels to which the picture's place refers."""
    n_z, n_y, n_x = picture.data.shape[-3:]
    return (n_z, n_y, n_x if picture.read_kept is None else picture.read_kept.stop - picture.read_kept.start)


def _positions(picture: Picture) -> NDArray[np.float64]:
    return voxel_positions_m(picture.stack.display, _shape(picture), picture.read_kept, picture.data.shape[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradients:
    """How the gradients bend: their loss at the radius of the imaging sphere, along their own axis."""

    x_share: float = number(0.0, "Loss of x", unit="%", low=-0.5, high=0.5, help="Device axis x.")
    y_share: float = number(0.0, "Loss of y", unit="%", low=-0.5, high=0.5, help="Device axis y.")
    z_share: float = number(0.0, "Loss of z", unit="%", low=-0.5, high=0.5, help="Device axis z.")
    radius_m: float = number(0.1, "Radius", unit="mm", low=0.01, high=1.0, help="Of the imaging sphere.")


def gradients(work: Work, p: Gradients) -> Work:
    """Images on a straight grid, by what was measured of the coils, else by what the parameters say of them."""
    from isocenter.recon.correct.nonlinearity import ThirdOrderCoils, straighten

    shares = (p.x_share, p.y_share, p.z_share)
    if work.coils is None and not any(shares):
        return dataclasses.replace(work, said="the gradients are said to be straight")
    if work.coils is not None and any(shares):
        raise ReconError(
            "There is a measured map of the gradients, and the step 'gradients' says what they lose as well.",
            "Take the losses out of the step, or leave the map away: twice is too much.",
        )
    coils: GradientField = work.coils or ThirdOrderCoils(shares=shares, radius_m=p.radius_m)
    is_2d = work.raw.encoding is not None and work.raw.encoding.n_par <= 1

    def change(picture: Picture) -> Picture:
        first, steps = voxel_steps_m(picture.stack.display, _shape(picture))
        if picture.read_kept is not None:
            first = first - picture.read_kept.start * steps[2]
        data = picture.data if picture.has_channels else picture.data[np.newaxis]
        done = [straighten(image, first, steps, coils, in_plane_only=is_2d) for image in data]
        said = _moved(coils, _positions(picture), work.coils)
        return dataclasses.replace(picture, data=np.stack(done) if picture.has_channels else done[0], said=said)

    return each_picture(work, change)


def _moved(coils: "GradientField", places_m: NDArray[np.float64], measured: CoilField | None) -> str:
    """How far things were moved, and by which map."""
    some = places_m.reshape(-1, 3)
    some = some[:: max(1, len(some) // 4096)]
    most_mm = 1e3 * float(np.linalg.norm(coils.apparent_m(some) - some, axis=1).max())
    said = f"moved by up to {most_mm:.2f} mm"
    if measured is None:
        return said
    beyond = float(np.linalg.norm(some, axis=1).max())
    note = f", {beyond * 1e3:.0f} mm are reached" if beyond > measured.reach_m else ""
    return (
        f"{said} by the map '{measured.name}' of {measured.n_points} places within {measured.reach_m * 1e3:.0f} mm{note}, "
        f"which leaves {measured.rms_m * 1e3:.2f} mm"
    )


STEPS: Final = (
    Step(
        name="b0",
        title="Main field",
        help="Undoes the distortion that an uneven main field makes along the readout. Needs a map of the field (sequence "
        "b0_map), or two echoes at different times in the scan. Set keeps_readout of 'transform' with it.",
        takes=Stage.IMAGE,
        gives=Stage.IMAGE,
        run=b0,
        parameters=B0,
        is_live=False,
    ),
    Step(
        name="gradients",
        title="Gradient non-linearity",
        help="Puts the image on a straight grid where the gradients bend, by a map that was measured (isocenter gradients, "
        "--gradient-map), or by known losses.",
        takes=Stage.IMAGE,
        gives=Stage.IMAGE,
        run=gradients,
        parameters=Gradients,
        is_live=False,
    ),
)
