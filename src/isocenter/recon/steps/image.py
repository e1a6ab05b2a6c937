# SPDX-License-Identifier: MIT
"""Steps on images: channels to one, and what of a complex image is shown."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from isocenter.domain.errors import ReconError
from isocenter.domain.parameters import choice, integer, number
from isocenter.recon.coils import combine_adaptively, root_sum_of_squares
from isocenter.recon.fourier import Complex
from isocenter.recon.magnitude import displayed_magnitude
from isocenter.recon.pages import pages_of
from isocenter.recon.steps.base import Picture, Stage, Step, Work, each_picture

_DARK: Final = 1e-3  # of the brightest square: no phase can be told


@dataclass(frozen=True, slots=True, kw_only=True)
class Combine:
    """How channels become one image."""

    method: str = choice(
        "rss",
        "Method",
        choices=("rss", "adaptive"),
        help="rss: root of the sum of squares, no phase left; adaptive: weights found from the images (Walsh), less noise "
        "where there is no signal, keeps a phase.",
    )
    patch: int = integer(5, "Patch", low=3, high=31, help="adaptive: voxels over which the coils' fields hardly change.")


def combine(work: Work, p: Combine) -> Work:
    """One image from those of all channels."""

    def change(picture: Picture) -> Picture:
        if not picture.has_channels:
            return dataclasses.replace(picture, said="already one image")
        channels: Complex = picture.data
        if len(channels) == 1:
            return dataclasses.replace(picture, data=channels[0], said="one channel")
        if p.method == "adaptive":
            said = f"adaptive, {len(channels)} channels"
            return dataclasses.replace(picture, data=combine_adaptively(channels, p.patch), said=said)
        said = f"root sum of squares of {len(channels)} channels"
        return dataclasses.replace(picture, data=root_sum_of_squares(channels), kind="magnitude", said=said)

    return each_picture(work, change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What of a complex image is shown."""

    kind: str = choice(
        "magnitude",
        "Values",
        choices=("magnitude", "phase", "real", "complex"),
        help="real: after the smooth part of the phase was taken away, keeps the sign of inverted tissue; phase in radians.",
    )
    fraction: float = number(
        0.15, "Smooth part", unit="%", low=0.02, high=1.0, help="real: the part of k-space that makes the smooth phase."
    )


def output(work: Work, p: Output) -> Work:
    """Magnitude, phase, real part with the smooth phase taken away, or the complex image.

    Where the work is spent, large pictures of which the magnitude is taken are void afterwards.
    """
    owners = {id(pages_of(picture.data)) for picture in work.pictures}
    is_spent = work.is_spent and len(owners) == len(work.pictures)  # no two in the same memory

    def change(picture: Picture) -> Picture:
        data = picture.data
        if picture.has_channels:
            raise ReconError(
                f"{len(data)} channels were not combined before the output.", "Put the step 'combine' before 'output'."
            )
        if not np.iscomplexobj(data):
            if p.kind == "magnitude":
                return dataclasses.replace(picture, kind="magnitude")
            raise ReconError(
                f"The image has lost its phase, so there is no {p.kind} image of it.",
                "Combine channels by the method 'adaptive', or choose the magnitude.",
            )
        if p.kind == "magnitude":
            shown_as = displayed_magnitude(data, picture.stack.display, is_spent=is_spent)
            return dataclasses.replace(picture, data=shown_as, kind=p.kind)
        return dataclasses.replace(picture, data=shown(data, p), kind=p.kind)

    return each_picture(work, change)


def shown(image: Complex, p: Output) -> NDArray[np.float32] | Complex:
    """The image as ``p.kind`` says."""
    if p.kind == "real":
        return real_part(image, p.fraction)
    if p.kind == "complex":
        return image
    return phase(image) if p.kind == "phase" else magnitude(image)


def magnitude(image: Complex) -> NDArray[np.float32]:
    """Absolute value, float32."""
    return np.asarray(np.abs(image), dtype=np.float32)


def phase(image: Complex) -> NDArray[np.float32]:
    """Phase in radians, -pi ... pi, float32."""
    return np.asarray(np.angle(image), dtype=np.float32)


def real_part(image: Complex, fraction: float) -> NDArray[np.float32]:
    """Real part once the smooth phase is taken away; tissue that is opposite to most of its surroundings stays negative.

    The smooth phase is that of the squared image's low frequencies, without its jumps, halved: the square does not know the
    sign of the magnetisation, so inverted tissue does not turn it. The sign of the whole is chosen so that its sum is
    positive.
    """
    from isocenter.recon.correct.unwrap import unwrap

    smooth = low_frequencies(image.astype(np.complex128) ** 2, fraction)
    quality = np.abs(smooth) / max(float(np.abs(smooth).max()), np.finfo(np.float32).tiny)
    quality[quality < _DARK] = 0
    angle = unwrap(np.angle(smooth).astype(np.float32), quality.astype(np.float32)) / 2
    flat: NDArray[np.float64] = np.real(image * np.exp(-1j * angle))
    return np.asarray(flat if flat.sum() >= 0 else -flat, dtype=np.float32)


def low_frequencies(image: NDArray[np.complex128], fraction: float) -> NDArray[np.complex128]:
    """Image of the middle of its rows' and columns' frequencies, with a smooth edge."""
    from scipy import fft

    spectrum = fft.fft2(image, axes=(-2, -1))
    for axis in (-2, -1):
        n_values = image.shape[axis]
        reach = np.abs(fft.fftfreq(n_values)) * 2 / max(fraction, 2 / n_values)
        weights = np.where(reach < 1, np.cos(np.pi / 2 * reach) ** 2, 0.0)
        spectrum *= weights.reshape((-1, 1) if axis == -2 else (-1,))
    return np.asarray(fft.ifft2(spectrum, axes=(-2, -1)))


STEPS: Final = (
    Step(
        name="combine",
        title="Combine channels",
        help="One image from those of all receive channels.",
        takes=Stage.IMAGE,
        gives=Stage.IMAGE,
        run=combine,
        parameters=Combine,
        is_required=True,
    ),
    Step(
        name="output",
        title="Output",
        help="What of a complex image is shown and written.",
        takes=Stage.IMAGE,
        gives=Stage.IMAGE,
        run=output,
        parameters=Output,
        is_required=True,
    ),
)
