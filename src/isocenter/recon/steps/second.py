# SPDX-License-Identifier: MIT
"""Steps for the eye: even brightness, and a second series with less noise beside the original."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np

from isocenter.domain.errors import ReconError
from isocenter.domain.parameters import integer, number
from isocenter.recon.places import voxel_steps_m
from isocenter.recon.steps.base import Picture, Stage, Step, Work, each_picture, without_oversampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """How brightness is evened out."""

    n_order: int = integer(4, "Order", low=1, high=8, help="Of the polynomial that the logarithm of the brightness is.")
    factor: float = number(
        10.0, "Largest ratio", unit="", low=1.5, high=100.0, help="Of brightest to darkest place; more is not believed."
    )


def intensity(work: Work, p: Intensity) -> Work:
    """Images without the smooth fall of brightness that coils make."""
    from isocenter.recon.correct.intensity import even_out

    def change(picture: Picture) -> Picture:
        if picture.has_channels or picture.kind not in {"magnitude", "complex"}:
            raise ReconError(
                "Only magnitude or complex images of one channel can be evened out.", "Put 'intensity' after 'combine'."
            )
        picture = without_oversampling(picture)
        n_z, n_y, n_x = picture.data.shape
        _, steps = voxel_steps_m(picture.stack.display, (n_z, n_y, n_x))
        z_m, y_m, x_m = (float(np.linalg.norm(step)) for step in steps)
        done = even_out(picture.data, (z_m, y_m, x_m), order=p.n_order, largest_ratio=p.factor)
        return dataclasses.replace(picture, data=done.image, said=str(done.figure))

    return each_picture(work, change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoise:
    """How much noise is taken away."""

    factor: float = number(
        1.0, "Strength", unit="", low=0.1, high=3.0, help="1 takes the noise for what it is; less is more careful."
    )


def denoise(work: Work, p: Denoise) -> Work:
    """The pictures, and after them each with less noise."""
    from isocenter.recon.correct.denoise import denoise as filtered

    added: list[Picture] = []
    for picture in work.pictures:
        if picture.has_channels or picture.kind not in {"magnitude", "complex"}:
            raise ReconError(
                "Only magnitude or complex images of one channel can be denoised.", "Put 'denoise' after 'combine'."
            )
        if not picture.label:
            done = filtered(np.ascontiguousarray(picture.data), strength=p.factor)
            added.append(dataclasses.replace(picture, data=done.image, label=done.label, said=str(done.figure)))
    originals = tuple(dataclasses.replace(picture, said="this is the original") for picture in work.pictures)
    return dataclasses.replace(work, pictures=(*originals, *added))


STEPS: Final = (
    Step(
        name="intensity",
        title="Even brightness",
        help="Takes away the smooth fall of brightness that coils make.",
        takes=Stage.IMAGE,
        gives=Stage.IMAGE,
        run=intensity,
        parameters=Intensity,
        is_live=False,
    ),
    Step(
        name="denoise",
        title="Denoising",
        help="Makes a second series with less noise, called so, beside the original.",
        takes=Stage.IMAGE,
        gives=Stage.IMAGE,
        run=denoise,
        parameters=Denoise,
        is_live=False,
    ),
)
