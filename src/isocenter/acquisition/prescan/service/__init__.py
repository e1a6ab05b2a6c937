# SPDX-License-Identifier: MIT
"""Service calibrations: what a service person measures with a phantom, now and then, never with a patient."""

from isocenter.acquisition.prescan.service.b1_steps import B1MapStep, FlipCheckStep
from isocenter.acquisition.prescan.service.base import ServicePhantom, ServiceStep
from isocenter.acquisition.prescan.service.currents import GradientCurrentsStep
from isocenter.acquisition.prescan.service.eddy_currents import EddyCurrentsStep
from isocenter.acquisition.prescan.service.field_steps import B0MapStep, ShimByMapStep
from isocenter.acquisition.prescan.service.gradient_delay import GradientDelayStep
from isocenter.acquisition.prescan.service.gradient_scale import GradientScaleStep

__all__ = [
    "B0MapStep",
    "B1MapStep",
    "EddyCurrentsStep",
    "FlipCheckStep",
    "GradientCurrentsStep",
    "GradientDelayStep",
    "GradientScaleStep",
    "ServicePhantom",
    "ServiceStep",
    "ShimByMapStep",
    "service_steps",
]


def service_steps(phantom: ServicePhantom | None = None) -> tuple[ServiceStep, ...]:
    """All service calibrations, in the order in which one builds on the other.

    Parameters
    ----------
    phantom
        The ball that they measure; one of 140 mm in the isocenter by default, which cannot tell directions.
    """
    return (
        GradientCurrentsStep(),
        FlipCheckStep(),
        GradientScaleStep(phantom),
        GradientDelayStep(phantom),
        ShimByMapStep(phantom),
        EddyCurrentsStep(phantom),
        B0MapStep(phantom),
        B1MapStep(phantom),
    )
