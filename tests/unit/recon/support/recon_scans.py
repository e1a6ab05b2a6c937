# SPDX-License-Identifier: MIT
"""Scans with a known answer, by the definition of k-space."""

import numpy as np

from isocenter.domain.events import Encoding
from isocenter.domain.pipeline import StepOrder
from isocenter.domain.raw import RawScan

FOV_M = (0.24, 0.20, 0.16)


def make_scan(
    placement,
    points_lps_m,
    *,
    sizes=(24, 20, 16),
    centres=None,
    oversampling=1,
    slice_positions_m=(),
    slice_thickness_m=0.0,
    senses=(1, 1, 1),
    weights=None,
    n_channels=1,
    definitions=None,
):
    """K-space of points by the definition s(k) = sum exp(+2 pi i k.r), one sample after the other, in float64."""
    rotation = placement.device_from_logical
    n_read, n_lin, n_par = sizes[0] * oversampling, sizes[1], sizes[2]
    is_2d = len(slice_positions_m) > 0
    if is_2d:
        n_par = 1
    centres = centres or (n_read / 2 - 0.5, n_lin // 2, n_par // 2)
    steps = [rotation[:, 0] / (FOV_M[0] * oversampling), rotation[:, 1] / FOV_M[1], rotation[:, 2] / FOV_M[2]]
    steps = [step * sense for step, sense in zip(steps, senses, strict=True)]
    if is_2d:
        steps[2] = np.zeros(3)
    n_slices = max(len(slice_positions_m), 1)
    lin, par, slc = (a.ravel() for a in np.meshgrid(range(n_lin), range(n_par), range(n_slices), indexing="ij"))
    samples = np.zeros((len(lin), n_channels, n_read), dtype=np.complex128)
    device_from_lps = np.linalg.inv(placement.lps_from_logical @ rotation.T)
    normal = rotation[:, 2] * senses[2]
    k_rest = np.outer(lin - centres[1], steps[1]) + np.outer(par - centres[2], steps[2])
    k = k_rest[:, np.newaxis] + (np.arange(n_read) - centres[0])[:, np.newaxis] * steps[0]
    for index, point in enumerate(points_lps_m):
        device = device_from_lps @ np.asarray(point)
        signal = np.exp(2j * np.pi * (k @ (device - placement.centre_device_m)))
        if is_2d:
            distance = np.abs(np.asarray(slice_positions_m)[slc] - normal @ (device - placement.centre_device_m))
            signal = signal * (distance <= slice_thickness_m / 2)[:, np.newaxis]
        gains = (weights or [np.ones(n_channels)] * len(points_lps_m))[index]
        samples += signal[:, np.newaxis] * np.asarray(gains)[:, np.newaxis]
    encoding = Encoding(
        step_read_per_m=steps[0],
        step_lin_per_m=steps[1],
        step_par_per_m=steps[2],
        centre_sample=centres[0],
        centre_lin=centres[1],
        centre_par=centres[2],
        n_samples=n_read,
        n_lin=n_lin,
        n_par=n_par,
        slice_positions_m=np.asarray(slice_positions_m, dtype=float),
        slice_normal_device=normal if is_2d else np.zeros(3),
        slice_thickness_m=slice_thickness_m,
        centre_device_m=placement.centre_device_m,
    )
    return RawScan(
        samples=samples.astype(np.complex64),
        labels={name: value.astype(np.int32) for name, value in (("LIN", lin), ("PAR", par), ("SLC", slc))},
        dwell_s=1e-5,
        lo_hz=2e6,
        encoding=encoding,
        placement=placement,
        facts=None,
        definitions={"FOV": " ".join(map(str, FOV_M))} if definitions is None else definitions,
        n_expected=len(lin),
        name="points",
    )


def replace(raw, **changes):
    values = {name: getattr(raw, name) for name in raw.__dataclass_fields__}
    return RawScan(**{**values, **changes})


def with_step(orders, name, **parameters):
    """A pipeline with other parameters of one step."""
    found = [o if o.step != name else StepOrder(step=name, parameters={**o.parameters, **parameters}) for o in orders]
    assert any(o.step == name for o in found)
    return tuple(found)


def before(orders, name, *added):
    """A pipeline with steps put before another."""
    index = [order.step for order in orders].index(name)
    return (*orders[:index], *added, *orders[index:])


def of_kspace(kspace, placement, *, centres=None, fov_m=FOV_M, definitions=None, n_expected=None, keep=None):
    """A scan of k-space ``(n_channels, n_par, n_lin, n_read)`` whose transform is our forward one.

    ``keep`` says which lines ``(n_par, n_lin)`` were measured.
    """
    n_channels, n_par, n_lin, n_read = kspace.shape
    centres = centres or (n_read // 2, n_lin // 2, n_par // 2)
    rotation = placement.device_from_logical
    steps = [rotation[:, axis] / fov_m[axis] for axis in range(3)]
    par, lin = (a.ravel() for a in np.indices((n_par, n_lin)))
    samples = np.ascontiguousarray(kspace.transpose(1, 2, 0, 3)).reshape(-1, n_channels, n_read)
    if keep is not None:
        chosen = keep.ravel()
        par, lin, samples = par[chosen], lin[chosen], samples[chosen]
    encoding = Encoding(
        step_read_per_m=steps[0],
        step_lin_per_m=steps[1],
        step_par_per_m=steps[2] if n_par > 1 else np.zeros(3),
        centre_sample=centres[0],
        centre_lin=centres[1],
        centre_par=centres[2] if n_par > 1 else 0.0,
        n_samples=n_read,
        n_lin=n_lin,
        n_par=n_par,
        slice_positions_m=np.zeros(0),
        slice_normal_device=np.zeros(3) if n_par > 1 else rotation[:, 2],
        slice_thickness_m=0.0 if n_par > 1 else 0.005,
        centre_device_m=placement.centre_device_m,
    )
    return RawScan(
        samples=samples.astype(np.complex64),
        labels={"LIN": lin.astype(np.int32), "PAR": par.astype(np.int32)},
        dwell_s=1e-5,
        lo_hz=2e6,
        encoding=encoding,
        placement=placement,
        facts=None,
        definitions=definitions or {},
        n_expected=len(samples) if n_expected is None else n_expected,
        name="known",
    )


def head(shape, *, phase_rad=1.0, finer=2):
    """A head-like object ``(n_z, n_y, n_x)`` with a smooth phase, on a grid some times finer than the images'."""
    n_z, n_y, n_x = (size * (finer if size > 1 else 1) for size in shape)
    z, y, x = np.meshgrid(*((np.arange(n) - n // 2) / (n / 2) for n in (n_z, n_y, n_x)), indexing="ij", sparse=True)
    if n_z == 1:
        z = z * 0
    object_ = np.zeros((n_z, n_y, n_x))
    for value, (cz, cy, cx), (rz, ry, rx) in (
        (1.0, (0, 0, 0), (0.8, 0.75, 0.6)),
        (-0.4, (0, 0, 0), (0.72, 0.68, 0.53)),
        (0.5, (0.1, 0.2, -0.2), (0.4, 0.2, 0.15)),
        (-0.35, (-0.1, -0.25, 0.15), (0.3, 0.15, 0.2)),
        (0.6, (0.2, 0.4, 0.2), (0.25, 0.08, 0.06)),
        (0.7, (0, -0.05, -0.05), (0.5, 0.05, 0.3)),
    ):
        object_ = object_ + value * (((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1)
    smooth = phase_rad * (0.8 * np.cos(1.5 * x + 0.4) + 0.6 * np.sin(1.3 * y - 0.2) + 0.4 * z + 0.5 * x * y)
    return object_ * np.exp(1j * smooth)


def kspace_of(image, shape):
    """K-space of the given shape of a finer image, by our convention: the image is its forward transform."""
    axes = tuple(range(image.ndim))
    full = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(image, axes=axes), axes=axes), axes=axes)
    cut = tuple(
        slice(big // 2 - small // 2, big // 2 - small // 2 + small) for big, small in zip(full.shape, shape, strict=True)
    )
    return (full[cut] * image.size / np.prod(shape)).astype(np.complex64)
