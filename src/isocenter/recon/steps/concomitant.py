# SPDX-License-Identifier: MIT
"""Step that undoes what concomitant fields of the gradients did to Cartesian images."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.parameters import choice
from isocenter.domain.raw import RawScan
from isocenter.recon.fourier import Complex
from isocenter.recon.places import voxel_positions_m
from isocenter.recon.steps.base import VOLUME_LABELS, Picture, Stage, Step, Work, each_picture
from isocenter.recon.steps.readouts import is_imaging

_AXES: Final = ("x", "y", "z")
_LEAST_TURNS: Final = 1e-3  # below this nothing is done to the phases of lines
_LEAST_PX: Final = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcomitantFields:
    """Where the main field points."""

    field_axis: str = choice("x", "B0 along", choices=_AXES, help="Device axis; across the bore in a Halbach magnet.")


def concomitant(work: Work, p: ConcomitantFields) -> Work:
    """Images without what the concomitant fields of the gradients moved and blurred."""
    raw, axis = work.raw, _AXES.index(p.field_axis)
    if raw.encoding is None:
        raise ReconError("Only Cartesian images are made of lines.", "Set field_axis of the step 'nufft' instead.")
    require_squares(raw)
    if raw.label("REV").any():
        raise ReconError(
            "Lines that were read backwards are moved the other way by concomitant fields.",
            "Leave the step 'concomitant' out for echo-planar scans.",
        )

    def change(picture: Picture) -> Picture:
        if not np.iscomplexobj(picture.data):
            raise ReconError("The phase of the image is gone.", "Put the step 'concomitant' before 'combine' and 'output'.")
        data = picture.data if picture.has_channels else picture.data[np.newaxis]
        functions, spacing_m = _functions_m2(picture, axis)
        data, most_px = _without_shift(data, raw, functions, spacing_m[2], axis)
        data, most_turns, rank = _without_line_phases(data, raw, picture, functions, spacing_m, axis)
        said = f"moved by up to {most_px:.2f} voxels; phases of lines up to {most_turns:.2f} turns, {rank} transforms"
        if raw.facts is not None and raw.facts.echo_train_length > 1:
            said += "; what they did to the refocusing of the echo trains stays"
        return dataclasses.replace(picture, data=data if picture.has_channels else data[0], said=said)

    return each_picture(work, change)


def require_squares(raw: RawScan) -> None:
    """Raise ReconError unless the scan says what its gradients left behind."""
    if len(raw.square_moments_per_m2) != len(raw.samples):
        raise ReconError(
            "The raw data do not say what the gradients' squares left behind, so concomitant fields cannot be undone.",
            "Scan again with this version, or leave the correction out.",
        )


def _functions_m2(picture: Picture, axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Functions of space over the picture, shape ``(N_MOMENTS, z, y, x)``, and its voxels along z, y, x [m]."""
    from isocenter.recon.correct.concomitant import maxwell_functions_m2

    n_z, n_y, n_x = picture.data.shape[-3:]
    kept = picture.read_kept
    shape = (n_z, n_y, n_x if kept is None else kept.stop - kept.start)
    places = voxel_positions_m(picture.stack.display, shape, kept, n_x)
    corner = places[0, 0, 0]
    spacing = [
        float(np.linalg.norm(places[tuple(int(i == at) for i in range(3))] - corner)) if places.shape[at] > 1 else 0.0
        for at in range(3)
    ]
    return maxwell_functions_m2(places, axis), np.array(spacing)


def _without_shift(
    data: Complex, raw: RawScan, functions: NDArray[np.float64], spacing_m: float, axis: int
) -> tuple[Complex, float]:
    """What the read gradient's own field moved along the readout put back; an even shift of all is no error of the field."""
    from isocenter.recon.correct.b0 import undistort
    from isocenter.recon.correct.concomitant import moments_along, squares_of_steps

    assert raw.encoding is not None
    step = raw.encoding.step_read_per_m
    turns = moments_along(squares_of_steps(step, raw.dwell_s, raw.lo_hz), axis)  # in one dwell time
    # A frequency that turns by t in a dwell time looks like a place at which k turns by t in a step of k.
    shift = np.tensordot(turns, functions, axes=1) / (np.linalg.norm(step) * spacing_m)
    most = float(np.abs(shift).max())
    if most < _LEAST_PX:
        return data, most
    done = [undistort(image, shift.astype(np.float32)).image for image in data]
    return np.stack(done), most


def _without_line_phases(
    data: Complex,
    raw: RawScan,
    picture: Picture,
    functions: NDArray[np.float64],
    spacing_m: NDArray[np.float64],
    axis: int,
) -> tuple[Complex, float, int]:
    """What all gradients before the centre of each line left of phase taken away, in as few transforms as will do."""
    from scipy import fft

    from isocenter.recon.correct.concomitant import moments_along, remove_line_phases

    squares = _line_squares(raw, picture.key)
    table = moments_along(squares, axis)[_nearest_lines(raw, data.shape[-3:], spacing_m, squares)]
    even = table.reshape(-1, table.shape[-1]).mean(axis=0)
    moments = (table - even).reshape(-1, table.shape[-1])  # a phase that all lines share is left in the image
    most = float(np.abs(moments).max(axis=0) @ np.abs(functions).reshape(len(functions), -1).max(axis=1))
    if most < _LEAST_TURNS:
        return data, most, 0
    axes = (-3, -2) if table.shape[0] > 1 else (-2,)
    n_z, n_y, n_x = data.shape[-3:]
    out, rank = np.empty_like(data), 0
    for number, image in enumerate(data):
        hybrid = (
            fft.fftshift(fft.ifft2(fft.ifftshift(image, axes=axes), axes=axes), axes=axes)
            if len(axes) == 2
            else (fft.fftshift(fft.ifft(fft.ifftshift(image, axes=axes), axis=-2), axes=axes))
        )
        lines = hybrid.reshape(-1, n_x) if len(axes) == 2 else hybrid.transpose(1, 0, 2)

        def to_image(part: Complex) -> Complex:
            grid = part.reshape(n_z, n_y, n_x) if len(axes) == 2 else part.transpose(1, 0, 2)
            moved = fft.ifftshift(grid, axes=axes)
            moved = fft.fft2(moved, axes=axes) if len(axes) == 2 else fft.fft(moved, axis=-2)
            return np.asarray(fft.fftshift(moved, axes=axes), dtype=np.complex64)

        out[number], rank = remove_line_phases(lines.astype(np.complex64), moments, functions, to_image)
    return out, most, rank


def _line_squares(raw: RawScan, key: tuple[int, ...]) -> NDArray[np.float64]:
    """Square moments at k = 0 of each line, the mean of its averages, shape ``(n_par, n_lin, 6)``; NaN for none."""
    from isocenter.recon.correct.concomitant import squares_of_steps

    assert raw.encoding is not None
    chosen = is_imaging(raw)
    keys = np.stack([raw.label(name) for name in VOLUME_LABELS], axis=1)
    if len(key) == len(VOLUME_LABELS):
        chosen &= (keys == np.array(key)).all(axis=1)
    step = squares_of_steps(raw.encoding.step_read_per_m, raw.dwell_s, raw.lo_hz)
    centred = raw.square_moments_per_m2[chosen].astype(np.float64) + raw.encoding.centre_sample * step
    shape = (max(raw.encoding.n_par, 1), max(raw.encoding.n_lin, 1))
    sums, counts = np.zeros((*shape, 6)), np.zeros(shape)
    where = raw.label("PAR")[chosen], raw.label("LIN")[chosen]
    np.add.at(sums, where, centred)
    np.add.at(counts, where, 1)
    found: NDArray[np.float64] = np.where(counts[..., None] > 0, sums / np.maximum(counts, 1)[..., None], np.nan)
    return found


def _nearest_lines(
    raw: RawScan, shape: tuple[int, ...], spacing_m: NDArray[np.float64], squares: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each line of the picture's own k-space the line that was read there, or the nearest one."""
    from scipy.ndimage import distance_transform_edt

    encoding = raw.encoding
    assert encoding is not None
    rows = []
    for n_voxels, voxel_m, step, centre, n_lines in (
        (shape[0], spacing_m[0], encoding.step_par_per_m, encoding.centre_par, squares.shape[0]),
        (shape[1], spacing_m[1], encoding.step_lin_per_m, encoding.centre_lin, squares.shape[1]),
    ):
        size = float(np.linalg.norm(step))
        if size == 0 or n_lines == 1 or voxel_m == 0:
            rows.append(np.zeros(1, dtype=np.intp))
            continue
        k_per_m = (np.arange(n_voxels) - n_voxels // 2) / (n_voxels * voxel_m)
        rows.append(np.clip(np.rint(k_per_m / size + centre), 0, n_lines - 1).astype(np.intp))
    missing = np.isnan(squares[..., 0])
    near = distance_transform_edt(missing, return_distances=False, return_indices=True)
    par, lin = np.ix_(rows[0], rows[1])
    return near[0][par, lin], near[1][par, lin]


STEPS: Final = (
    Step(
        name="concomitant",
        title="Concomitant fields",
        help="Undoes what the fields that Maxwell adds to strong gradients at low field moved along the readout and blurred "
        "along the phase encodings. Set keeps_readout of 'transform' with it. Echo trains: the first-order part only. Not "
        "for echo-planar scans.",
        takes=Stage.IMAGE,
        gives=Stage.IMAGE,
        run=concomitant,
        parameters=ConcomitantFields,
        is_live=False,
    ),
)
