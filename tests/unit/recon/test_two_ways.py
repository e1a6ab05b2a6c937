# SPDX-License-Identifier: MIT
"""Whole reconstructions by compiled loops, lines taken from where they lie, against those without a compiler."""

import dataclasses

import numpy as np
import pytest
from recon_scans import make_scan, replace

from isocenter.domain.geometry import Orientation, PatientPosition, place
from isocenter.domain.pipeline import StepOrder
from isocenter.recon import compiled, fourier, magnitude
from isocenter.recon.cartesian import LiveReconstruction, reconstruct
from isocenter.recon.defaults import CARTESIAN
from isocenter.recon.options import ReconOptions
from isocenter.recon.pipeline import check_pipeline, run_pipeline
from isocenter.recon.steps.base import Grid, Lines, Work, in_place
from isocenter.recon.windows import Filter

POINTS = [(0.02, 0.03, 0.01), (-0.04, -0.01, 0.02)]
HERE = place(Orientation.CORONAL, PatientPosition.HFDR, (0.01, 0.02, -0.01), (0.1, 0.2))


@pytest.fixture
def both(monkeypatch):
    """Does something by loops and by numpy and scipy; the first has to use the loops."""
    compiled.warm_up()
    from isocenter.recon.fft import transform

    monkeypatch.setattr(fourier, "_WORTH_OWN", 0)
    monkeypatch.setattr(magnitude, "_WORTH", 0)
    monkeypatch.setattr(fourier, "_own_threads", lambda n_values: 1 + n_values % 2 + n_values // 8000)  # one and several
    monkeypatch.setattr(transform, "_BLOCK_VALUES", 1000)  # many blocks, the last one smaller
    taken = []
    transform_lines = transform.transform_lines
    monkeypatch.setattr(transform, "transform_lines", lambda *a: (taken.append(1), transform_lines(*a))[1])

    def call(work):
        found = work()
        with monkeypatch.context() as patch:
            for module in (fourier, magnitude):
                patch.setattr(module, "loops", lambda name: None)
            return found, work(), len(taken)

    return call


def shuffled(raw):
    order = np.random.default_rng(5).permutation(len(raw.samples))
    return replace(raw, samples=raw.samples[order], labels={name: values[order] for name, values in raw.labels.items()})


def with_reversed(raw):
    backwards = (raw.labels["LIN"] % 2).astype(np.int32)
    samples = raw.samples.copy()
    samples[backwards == 1] = samples[backwards == 1][:, :, ::-1]
    return replace(raw, samples=samples, labels={**raw.labels, "REV": backwards})


def twice(raw):
    labels = {name: np.tile(values, 2) for name, values in raw.labels.items()}
    labels["AVG"] = np.repeat([0, 1], len(raw.samples)).astype(np.int32)
    return replace(raw, samples=np.concatenate([raw.samples, 2 * raw.samples]), labels=labels)


def two_echoes(raw):
    doubled = twice(raw)
    return replace(doubled, labels={**doubled.labels, "ECO": doubled.labels["AVG"], "AVG": 0 * doubled.labels["AVG"]})


def some(raw):
    keep = np.arange(len(raw.samples)) % 7 > 0
    return replace(raw, samples=raw.samples[keep], labels={name: values[keep] for name, values in raw.labels.items()})


COILS = {"n_channels": 3, "weights": [np.array([0.6, 0.8j, 0.3]), np.array([0.2, -0.5, 1j])]}
SLICES = {"slice_positions_m": (0.0, 0.01, 0.02), "slice_thickness_m": 0.005}


@pytest.mark.parametrize("phase", [False, True], ids=["magnitude", "phase"])
@pytest.mark.parametrize(
    ("scan", "change", "options", "expected"),
    [
        ({}, shuffled, {}, 1),
        ({"sizes": (32, 48, 16)}, shuffled, {}, 1),
        ({"oversampling": 2}, shuffled, {}, 1),
        ({"centres": (8.0, 10, 8)}, shuffled, {}, 0),
        ({}, shuffled, {"zero_fill": 1.5}, 1),
        ({"sizes": (48, 40, 16)}, shuffled, {"matrix": (24, 20, 0)}, 0),
        ({}, shuffled, {"filter": Filter.HANN}, 0),
        (SLICES, shuffled, {}, 1),
        ({}, with_reversed, {}, 1),
        ({}, twice, {}, 0),
        ({}, two_echoes, {}, 2),
        ({}, some, {}, 0),
    ],
)
def test_images_are_the_same(scan, change, options, expected, phase, both):
    raw = change(make_scan(HERE, POINTS, **scan))
    before = raw.samples.copy()
    ours, theirs, n_taken = both(lambda: reconstruct(raw, options=ReconOptions(keep_phase=phase, **options)))
    np.testing.assert_array_equal(raw.samples, before)
    assert n_taken == expected
    assert len(ours) == len(theirs)
    iterates = change is with_reversed or "centres" in scan  # ghost and POCS start from angles of what is nearly nothing
    error = 1e-4 if iterates else 1e-6
    for one, other in zip(ours, theirs, strict=True):
        assert one.provenance == other.provenance
        assert one.data.dtype == other.data.dtype == (np.complex64 if phase else np.float32)
        assert one.data.flags.c_contiguous
        np.testing.assert_allclose(one.data, other.data, rtol=0, atol=error * np.abs(other.data).max())


def test_several_channels_are_the_same(both):
    raw = shuffled(make_scan(HERE, POINTS, **COILS))
    for method in ("rss", "adaptive"):
        orders = [StepOrder(step=o.step, parameters={"method": method} if o.step == "combine" else {}) for o in CARTESIAN]
        (ours,), (theirs,), n_taken = both(lambda orders=orders: reconstruct(raw, pipeline=orders))
        assert n_taken
        np.testing.assert_allclose(ours.data, theirs.data, rtol=0, atol=1e-6 * theirs.data.max())


def test_growing_pictures_end_as_the_whole(both):
    raw = shuffled(make_scan(HERE, POINTS, sizes=(32, 32, 16)))

    def grown():
        live = LiveReconstruction(raw.encoding, raw.placement, definitions=raw.definitions)
        for part in np.array_split(np.arange(len(raw.samples)), 5):
            live.add(raw.samples[part], {name: values[part] for name, values in raw.labels.items()})
            volumes = live.volumes()
        return volumes

    for found, whole in zip(both(grown)[:2], both(lambda: reconstruct(raw))[:2], strict=True):
        np.testing.assert_array_equal(found[0].data, whole[0].data)


def test_who_looks_at_sorted_lines_sees_them_in_place():
    raw = shuffled(make_scan(HERE, POINTS, **COILS))
    seen = {}
    reconstruct(raw, watch=lambda name, work: seen.setdefault(name, [grid.data.copy() for grid in work.grids]))
    (kspace,) = seen["sort"]
    for row in range(0, len(raw.samples), 17):
        place = raw.labels["PAR"][row], raw.labels["LIN"][row]
        np.testing.assert_array_equal(kspace[0, :, *place], raw.samples[row])


def test_steps_that_do_not_know_lines_get_them_in_place(monkeypatch):
    raw = shuffled(make_scan(HERE, POINTS))
    planned = check_pipeline(CARTESIAN)
    sorting = next(index for index, item in enumerate(planned) if item.step.name == "sort")
    work = run_pipeline(Work(raw=raw), planned[: sorting + 1])
    (grid,) = work.grids
    assert isinstance(grid.lines, Lines)
    assert grid.data.size == 0
    assert grid.shape == in_place(grid).data.shape == (1, 1, 16, 20, 24)
    with pytest.raises(ValueError, match="not both"):
        dataclasses.replace(grid, data=in_place(grid).data)
    shutter = check_pipeline([*CARTESIAN[: sorting + 1], StepOrder(step="shutter"), *CARTESIAN[sorting + 1 :]])[sorting + 1]
    (cut,) = run_pipeline(work, [shutter]).grids
    assert isinstance(cut, Grid)
    assert cut.lines is None
    assert 0 < np.count_nonzero(cut.data) < cut.data.size


def test_where_nothing_can_be_compiled_images_are_made_without(monkeypatch, caplog):
    def refuse(name):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(fourier, "_WORTH_OWN", 0)
    monkeypatch.setattr(magnitude, "_WORTH", 0)
    raw = shuffled(make_scan(HERE, POINTS))
    expected = reconstruct(raw)[0].data
    monkeypatch.setattr(compiled.importlib, "import_module", refuse)
    compiled._loaded.cache_clear()
    found = reconstruct(raw)[0].data
    compiled._loaded.cache_clear()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * expected.max())
    assert "magnitude_loops cannot be compiled here" in caplog.text
    assert "fft.transform cannot be compiled here" in caplog.text
