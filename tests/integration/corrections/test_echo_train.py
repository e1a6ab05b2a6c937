# SPDX-License-Identifier: MIT
"""Turbo spin echo with its reference train on the virtual scanner: echoes that differ, and the same without a fault."""

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from isocenter.domain.scenario import CoilFaults, EddyTerm, GradientFaults, MagnetFaults, ReceiverFaults
from isocenter.recon.cartesian import LiveReconstruction, reconstruct
from isocenter.sequences.catalogue import get_sequence

_SPEC = importlib.util.spec_from_file_location("trains_of_vials", Path(__file__).with_name("conftest.py"))
scans = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(scans)

pytestmark = pytest.mark.timeout(300)  # a first run compiles the inner loops

PIPELINE = get_sequence("tse_3d").info.pipeline
WITHOUT = tuple(order for order in PIPELINE if order.step != "echo_train")
# The prephasing lobe loses more of its area before the first 180 than the readouts lose between two: k = 0 lies to one side
# of the middle in odd echoes and to the other in even ones.
EDDY = GradientFaults(eddy=(EddyTerm(channel="x", share=-0.03, time_constant_s=3e-3),))


def measured(values=None, **faults):
    return scans.measured("tse_3d", scans.TSE | (values or {}), with_navigators=True, **faults)


def image(raw, pipeline=PIPELINE):
    return reconstruct(raw, pipeline=pipeline)[0]


@pytest.fixture(scope="module")
def ideal():
    raw = measured()
    return raw, image(raw, WITHOUT).data


def ghost(data, truth):
    """What lies around the vials that should not, over the whole picture."""
    data = data * (np.vdot(data, truth) / np.vdot(data, data))
    air = truth < 0.05 * truth.max()
    return float(np.linalg.norm((data - truth)[air]) / np.linalg.norm(truth))


@pytest.mark.parametrize("order", ["linear", "centre-out"])
def test_the_ghost_of_eddy_currents_falls_by_80_percent(order):
    truth = image(measured({"order": order}), WITHOUT).data
    raw = measured({"order": order}, gradients=EDDY)
    plain, fixed = image(raw, WITHOUT), image(raw)
    before, after = ghost(plain.data, truth), ghost(fixed.data, truth)
    print(f"{order}: ghost {100 * before:.1f} % -> {100 * after:.1f} %; {dict(fixed.provenance)['echo_train']}")
    assert before > 0.1
    assert after < 0.2 * before
    assert dict(fixed.provenance)["echo_train"].startswith("from the reference train: phases up to")


def middles(samples):
    """Where each line is strongest along the readout: its centre of power [samples]."""
    power = np.abs(samples[:, 0]) ** 2
    return (power * np.arange(power.shape[1])).sum(axis=1) / power.sum(axis=1)


def test_echoes_have_their_centre_at_the_same_sample_afterwards():
    """Lines of the middle of k-space, each of another echo, against those of the same scan without a fault."""
    values = {"echo_train_length": 32, "echo_spacing_s": 0.01, "tr_s": 0.6}
    steady, raw, kept = measured(values), measured(values, gradients=EDDY), {}
    reconstruct(raw, pipeline=PIPELINE, watch=lambda name, work: kept.setdefault(name, work.raw))
    rows = (raw.label("REF") == 0) & (np.abs(raw.label("LIN") - 16) <= 3) & (raw.label("PAR") == 2)
    echoes = raw.label("SEG")[rows]
    apart = {}
    for name in ("whiten", "echo_train"):
        off = middles(kept[name].samples[rows]) - middles(steady.samples[rows])
        apart[name] = abs(off[echoes % 2 == 0].mean() - off[echoes % 2 == 1].mean())
    print(f"odd and even echoes: {apart['whiten']:.3f} -> {apart['echo_train']:.3f} samples apart")
    assert apart["whiten"] > 0.3
    assert apart["echo_train"] < 0.2 * apart["whiten"]


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_without_a_fault_the_image_stays(ideal, noise):
    raw = ideal[0] if noise == 0 else measured(receiver=ReceiverFaults(noise=noise))
    plain, fixed = image(raw, WITHOUT).data, image(raw).data
    assert np.linalg.norm(fixed - plain) < 0.01 * np.linalg.norm(plain)


def test_pulses_that_are_too_weak_are_no_worse_afterwards(ideal):
    raw = measured(coil=CoilFaults(transmit_scale=0.85))
    assert ghost(image(raw).data, ideal[1]) < ghost(image(raw, WITHOUT).data, ideal[1])
    assert "strength changed by" in dict(image(raw).provenance)["echo_train"]


def test_a_broken_cable_leaves_the_data_and_says_why():
    receiver, coil = ReceiverFaults(noise=1.0), CoilFaults(is_disconnected=True)
    raw = measured(receiver=receiver, coil=coil)
    found = image(raw)
    assert "too weak" in dict(found.skipped)["echo_train"]
    np.testing.assert_array_equal(found.data, image(raw, WITHOUT).data)


def test_the_reference_train_is_no_part_of_the_picture():
    raw, without = measured(), measured({"reference_shots": 0, "dummy_shots": 2})
    lines = raw.label("REF") == 0
    np.testing.assert_allclose(raw.samples[lines], without.samples, rtol=0, atol=1e-5 * np.abs(without.samples).max())
    said = dict(image(raw).provenance)["sort"]
    assert said.startswith("128 of 128 lines")
    assert "mean" not in said


def test_reference_trains_do_not_pass_for_navigators():
    drift = MagnetFaults(drift_c_per_s=0.01)
    raw = measured({"reference_shots": 2}, magnet=drift)
    assert (raw.label("REF") == 1).sum() == 16
    assert dict(image(raw).provenance)["drift"].startswith("no navigators")
    followed = measured({"reference_shots": 2, "navigator_every": 4}, magnet=drift)
    found = image(followed)
    assert "Hz over the scan" in dict(found.provenance)["drift"]
    assert not found.skipped


def test_live_pictures_know_nothing_of_the_reference_train(ideal):
    raw, truth = ideal
    live = LiveReconstruction(
        raw.encoding, raw.placement, definitions=raw.definitions, pipeline=PIPELINE, dwell_s=raw.dwell_s
    )
    reference = raw.label("REF") == 1
    assert reference[:8].all()
    for rows in (slice(0, 8), slice(8, 72), slice(72, None)):
        labels = {name: values[rows] for name, values in raw.labels.items()}
        n_lines = live.add(raw.samples[rows], labels)
        assert n_lines == np.count_nonzero(~reference[rows])
        if rows.start == 0:
            assert live.volumes(expected=len(raw.samples)) == ()
    (volume,) = live.volumes(expected=len(raw.samples))
    np.testing.assert_allclose(volume.data, truth, rtol=1e-5, atol=1e-5 * truth.max())


def test_the_reference_train_is_switched_off():
    raw = measured({"reference_shots": 0})
    assert "REF" not in raw.labels
    found = image(raw)
    assert not found.skipped
    assert "no reference train" in dict(found.provenance)["echo_train"]
    assert dataclasses.asdict(raw.facts)["echo_train_length"] == 8
