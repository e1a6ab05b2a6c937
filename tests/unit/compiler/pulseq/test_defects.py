# SPDX-License-Identifier: MIT
"""Each defect of other readers (reference peers.md 2.4, mri4all.md 3) by name: right here, or a clear refusal."""

from pathlib import Path

import numpy as np
import pytest

from isocenter.compiler.pulseq import read_pulseq
from isocenter.compiler.pulseq.waveforms import waveform
from isocenter.domain.errors import SequenceError

GOLDEN = Path(__file__).parents[3] / "golden" / "pulseq"


def test_last_shape_without_trailing_blank_line_does_not_hang():
    file = read_pulseq(GOLDEN / "komamri" / "read_comparison_v1.4_gr-time-shaped.seq")
    times_s, values = waveform(file, "x")
    np.testing.assert_allclose(times_s, np.array([0, 1, 3, 6, 7, 9, 12, 13, 15, 18]) * 10e-6, atol=1e-12)
    expected = np.array(
        [0, 0.347296355334, 0.652703644666, 0.879385241572, 1, 1, 0.879385241572, 0.652703644666, 0.347296355334, 0]
    )
    np.testing.assert_allclose(values, 1257918.64134 * expected)


def test_file_that_ends_in_the_middle_of_the_last_line(make_seq):
    assert len(read_pulseq(make_seq().rstrip()).gradients.shape) == 3


def test_rotations_are_read(make_seq):
    changes = {"EXTENSIONS": "1 7 1 0", "extension__ROTATIONS__7": "1 0.707107 0 0 0.707107"}
    file = read_pulseq(make_seq(**changes))
    np.testing.assert_allclose(file.extension_sets[0].rotation, [np.sqrt(0.5), 0, 0, np.sqrt(0.5)], atol=1e-12)


def test_unknown_extension_is_left_out_with_a_warning(make_seq):
    changes = {"EXTENSIONS": "1 1 1 2\n2 9 1 0", "extension__WOBBLE__9": "1 2 3 some words"}
    file = read_pulseq(make_seq(**changes))
    assert any("WOBBLE is not known" in sentence for sentence in file.warnings)
    assert file.extension_sets[0].label_set == (("LIN", 5),)


def test_unknown_required_extension_is_refused(make_seq):
    definitions = (
        "AdcRasterTime 1e-07\nBlockDurationRaster 1e-05\nGradientRasterTime 1e-05\nRadiofrequencyRasterTime 1e-06\n"
    )
    with pytest.raises(SequenceError, match=r"requires the extension WOBBLE.*\n.*export the sequence without"):
        read_pulseq(make_seq(DEFINITIONS=definitions + "RequiredExtensions ROTATIONS WOBBLE"))
    assert read_pulseq(make_seq(DEFINITIONS=definitions + "RequiredExtensions ROTATIONS LABELSET")).warnings == ()


def test_time_id_minus_one_is_sampled_twice_a_raster(make_seq):
    shapes = "shape_id 1\nnum_samples 2\n1\n1\n\nshape_id 2\nnum_samples 2\n0\n0\n\nshape_id 3\nnum_samples 2\n0\n100\n\n"
    shapes += "shape_id 4\nnum_samples 5\n0.2\n0.4\n0.8\n0.6\n0.3\n"
    file = read_pulseq(make_seq(GRADIENTS="1 2000 0 200 4 -1 970\n2 3000 0 0 4 -1 0", SHAPES=shapes))
    # Five values at 5, 10, 15, 20, 25 us, and the two edges at 0 and 30 us.
    np.testing.assert_allclose(file.gradients.times_s[1], np.arange(7) * 5e-6, atol=1e-15)
    np.testing.assert_allclose(file.gradients.shape[1], [0, 0.2, 0.4, 0.8, 0.6, 0.3, 0.1])


def test_spiral_of_version_1_3_reads():
    file = read_pulseq(GOLDEN / "komamri" / "read_comparison_v1.3_spiral.seq")
    times_s, values = waveform(file, "x")
    assert file.version == (1, 3, 1)
    # The read-out spiral's end joins the ramp down of the block after it without a jump.
    assert np.abs(np.diff(values)).max() < 0.15 * np.abs(values).max()
    assert times_s[-1] <= file.blocks.duration_s.sum() + 1e-9


def test_extra_rf_columns_of_1_3_are_left_out_with_a_warning():
    data = _old("[RF]\n1 54.8587 1 1 100 0 3.29867 3 4\n")
    file = read_pulseq(data)
    assert any("2 more values" in sentence for sentence in file.warnings)
    np.testing.assert_allclose([file.rf.delay_s[0], file.rf.phase_rad[0]], [100e-6, 3.29867])


def test_refocusing_pulses_of_old_files_are_not_excitations():
    rf = "[RF]\n1 250 1 2 0 0 0\n2 500 1 2 0 0 0\n"  # 1 ms block pulses of 90 and 180 degrees
    blocks = "1 0 1 0 0 0 0 0\n2 0 2 0 0 0 0 0\n3 0 0 0 0 0 1 0\n4 0 2 0 0 0 0 0\n5 0 0 0 0 0 1 0\n"
    assert read_pulseq(_old(rf, blocks)).rf.use.tolist() == ["e", "r"]


def test_inversion_before_an_excitation_is_not_a_refocusing():
    rf = "[RF]\n1 250 1 2 0 0 0\n2 500 1 2 0 0 0\n3 305 1 2 0 -90 0\n"
    blocks = "1 0 2 0 0 0 0 0\n2 0 1 0 0 0 0 0\n3 0 0 0 0 0 1 0\n4 0 3 0 0 0 0 0\n5 0 1 0 0 0 0 0\n6 0 0 0 0 0 1 0\n"
    assert read_pulseq(_old(rf, blocks)).rf.use.tolist() == ["e", "i", "s"]


def test_rasters_come_from_the_file(make_seq):
    definitions = "AdcRasterTime 1e-07\nBlockDurationRaster 2e-05\nGradientRasterTime 2e-05\nRadiofrequencyRasterTime 2e-06"
    file = read_pulseq(make_seq(DEFINITIONS=definitions, GRADIENTS="1 2000 0 0 4 0 10\n2 3000 0 1500 5 6 1800"))
    np.testing.assert_allclose(file.blocks.duration_s, [1e-3, 2e-3, 2e-3])
    np.testing.assert_allclose(file.rf.times_s[0], [0, 200e-6])
    np.testing.assert_allclose(file.gradients.times_s[1], np.array([0, 0.5, 1.5, 2.5, 3.5, 4]) * 20e-6)


def test_set_and_increment_of_one_block_are_both_kept(make_seq):
    one = read_pulseq(make_seq()).extension_sets[0]
    assert (one.label_set, one.label_increment) == ((("LIN", 5),), (("LIN", 1),))  # 5, then + 1: 6


def test_label_off_is_known(make_seq):
    file = read_pulseq(make_seq(extension__LABELSET__1="1 1 OFF"))
    assert file.extension_sets[0].label_set == (("OFF", 1),)
    assert file.warnings == ()


def test_sub_microsecond_delay_is_kept(make_seq):
    file = read_pulseq(make_seq(ADC="1 64 10000 1.5 0 0 0 0 0"))
    np.testing.assert_allclose(file.adc.delay_s, [1.5e-6], rtol=1e-12)


def test_tampered_file_is_noticed():
    data = (GOLDEN / "pypulseq" / "simple_mprage150.seq").read_bytes()
    assert read_pulseq(data).signature == "valid"
    file = read_pulseq(
        data.replace(b"[TRAP]\n1", b"[TRAP]\n 1", 1) if b"[TRAP]\n1" in data else data.replace(b"1e-05", b"1.0e-05", 1)
    )
    assert file.signature == "invalid"
    assert any("changed after it was written" in sentence for sentence in file.warnings)


def test_tab_separated_definitions(make_seq):
    definitions = "AdcRasterTime\t1e-07\nBlockDurationRaster\t 1e-05\nGradientRasterTime\t1e-05\n"
    definitions += "RadiofrequencyRasterTime\t1e-06\nFOV\t0.2 0.2\t0.1"
    file = read_pulseq(make_seq(DEFINITIONS=definitions))
    assert file.definitions["FOV"] == "0.2 0.2\t0.1"
    assert file.block_raster_s == 1e-5


def test_label_only_file_reads():
    file = read_pulseq(GOLDEN / "komamri" / "basic_tests_v1.4_label_test.seq")
    assert (len(file.blocks.rf), len(file.rf.use), len(file.adc.n_samples), len(file.gradients.shape)) == (6, 0, 0, 0)
    assert waveform(file, "x")[0].shape == (0,)


def test_ramps_shorter_than_a_raster_keep_their_area(make_seq):
    file = read_pulseq(make_seq(TRAP="3 -4000 3 15 7 20"))
    np.testing.assert_allclose(file.gradients.times_s[0], [0, 3e-6, 18e-6, 25e-6])
    area = np.trapezoid(file.gradients.shape[0], file.gradients.times_s[0]) * file.gradients.amplitude_hz_per_m[0]
    np.testing.assert_allclose(area, -4000 * 20e-6)


def test_bipolar_shape_stored_compressed_keeps_both_signs(make_seq):
    # 1, 1, -1, -1, -1 as differences: 1, 0, -2, 0, 0 with no run longer than two; and a long one with runs.
    shapes = "shape_id 1\nnum_samples 2\n1\n1\n\nshape_id 2\nnum_samples 2\n0\n0\n\nshape_id 3\nnum_samples 2\n0\n100\n\n"
    shapes += "shape_id 4\nnum_samples 40\n1\n0\n0\n17\n-2\n0\n0\n17\n"
    file = read_pulseq(make_seq(GRADIENTS="1 2000 0 0 4 0 10\n2 3000 0 0 4 0 0", SHAPES=shapes))
    np.testing.assert_array_equal(file.gradients.shape[1][1:-1], [1.0] * 20 + [-1.0] * 20)


def test_offsets_and_dwells_of_each_event_are_kept(make_seq):
    rf = "1 1000 1 2 3 50 100 0 0 -500 0 e\n2 1000 1 2 3 50 100 1.5 0.1 750 1 r"
    adc = "1 64 10000 20 0 0 100 0.25 0\n2 32 5000 20 -2 0.5 -300 1.5 0"
    file = read_pulseq(
        make_seq(RF=rf, ADC=adc, BLOCKS="1 50 1 0 0 0 0 0\n2 50 2 0 0 0 0 0\n3 100 0 0 0 0 1 1\n4 100 0 0 0 0 2 0")
    )
    assert file.rf.frequency_hz.tolist() == [-500, 750]
    assert (file.rf.frequency_ppm.tolist(), file.rf.phase_ppm.tolist()) == ([0, 1.5], [0, 0.1])
    np.testing.assert_allclose(file.adc.dwell_s, [10e-6, 5e-6])
    assert (file.adc.frequency_hz.tolist(), file.adc.phase_rad.tolist()) == ([100, -300], [0.25, 1.5])
    assert (file.adc.frequency_ppm.tolist(), file.adc.phase_ppm.tolist()) == ([0, -2], [0, 0.5])


def test_version_of_the_program_instead_of_the_format_is_refused(make_seq):
    # The MRI4ALL console stamps its own version, 0.0.1-alpha, on its files.
    with pytest.raises(SequenceError, match=r"section \[VERSION\]: version 0\.0\.1 cannot be read.*\n.*as Pulseq 1\.5"):
        read_pulseq(make_seq(VERSION="major 0\nminor 0\nrevision 1-alpha"))


def test_delay_ids_of_old_files_are_ids_and_not_times():
    file = read_pulseq(GOLDEN / "komamri" / "read_comparison_v1.2_fid.seq")
    # RF 230 us; 20 ms; readout 20 us + 256 * 12.5 us = 3.22 ms against a delay of 3.24 ms; 1 s.
    np.testing.assert_allclose(file.blocks.duration_s, [230e-6, 20e-3, 3.24e-3, 1.0], rtol=1e-12)


def _old(rf, blocks="1 0 1 0 0 0 0 0\n"):
    """A file of version 1.3.1 with 1 ms block pulses."""
    shapes = "[SHAPES]\n\nshape_id 1\nnum_samples 1000\n1\n0\n0\n997\n\nshape_id 2\nnum_samples 1000\n0\n0\n998\n"
    adc = "[ADC]\n1 64 10000 20 0 0\n"
    return f"[VERSION]\nmajor 1\nminor 3\nrevision 1\n\n[BLOCKS]\n{blocks}\n{rf}\n{adc}\n{shapes}".encode()
