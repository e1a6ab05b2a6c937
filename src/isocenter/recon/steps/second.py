# SPDX-License-Identifier: MIT
"""Steps that make a second series beside the original, with a label of its own."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np

from isocenter.domain.errors import ReconError
from isocenter.domain.parameters import number
from isocenter.recon.steps.base import Picture, Stage, Step, Work


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
