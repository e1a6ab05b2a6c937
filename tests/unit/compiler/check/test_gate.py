# SPDX-License-Identifier: MIT
"""A valid scan passes; each way of breaking it is refused by name, with the number, the time and what to do."""

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocenter.compiler.check import SafetyReport, check_scan
from isocenter.domain.errors import LimitError
from isocenter.domain.scanner import GradientBoard


def check(bench, drafts=None, scanner=None, calibration=None, **changes):
    scan = bench.build(bench.drafts() if drafts is None else drafts, **changes)
    return check_scan(scan, scanner or bench.scanner(), calibration or bench.calibration())


def refused(report, limit):
    """The finding of a limit; the report raises as an error that says it in words."""
    assert not report.is_allowed
    names = [finding.limit for finding in report.findings]
    assert limit in names, names
    with pytest.raises(LimitError, match=r"(?s).+What to do: .+"):
        report.raise_if_refused()
    return report.findings[names.index(limit)]


def test_valid_scan_passes_with_its_loads(bench):
    report = check(bench)
    assert report.findings == ()
    report.raise_if_refused()
    np.testing.assert_allclose(report.loads["RF amplitude"], np.hypot(20000, 10000) / 32767, rtol=1e-4)
    np.testing.assert_allclose(report.loads["RF pulse length"], 200e-6 / 5e-3, rtol=1e-4)
    np.testing.assert_allclose(report.loads["RF duty in one second"], 2 * 200e-6 / 0.1, rtol=1e-2)
    np.testing.assert_allclose(report.loads["x gradient amplitude"], 12000 * bench.T_PER_M_PER_CODE / 10e-3, rtol=1e-9)
    slope = 12000 * bench.T_PER_M_PER_CODE / 200e-6  # ramp of 200 us
    np.testing.assert_allclose(report.loads["x gradient slew"], slope / 50, rtol=3e-3)
    energy = 2 * (12000 * bench.T_PER_M_PER_CODE) ** 2 * (1e-3 + 2 * 200e-6 / 3)
    np.testing.assert_allclose(report.loads["x gradient RMS in one second"], np.sqrt(energy) / 5e-3, rtol=1e-2)
    assert pickle.loads(pickle.dumps(report)) == report


def test_complex_magnitude_counts_not_the_parts(bench):
    drafts = bench.drafts()
    drafts[1].tracks["tx0_i"] = [[bench.us(1000), -28000], [bench.us(1200), 0]]
    drafts[1].tracks["tx0_q"] = [[bench.us(1000), -28000], [bench.us(1200), 0]]
    found = refused(check(bench, drafts), "RF amplitude")
    np.testing.assert_allclose([found.requested, found.allowed], [120.85, 100], rtol=1e-3)
    np.testing.assert_allclose(found.time_s, 0.051, atol=1e-7)
    assert "Lower the flip angle to 83 %" in found.remedy
    with pytest.raises(
        LimitError, match=r"RF amplitude: the RF pulse in segment 1 at 0\.051000 s asks for 120\.8.*at most 100"
    ):
        check(bench, drafts).raise_if_refused()


def test_parts_that_change_at_different_ticks_are_joined(bench):
    drafts = bench.drafts()
    drafts[0].tracks["tx0_i"] = [[bench.us(1000), 30000], [bench.us(1100), 0]]
    drafts[0].tracks["tx0_q"] = [[bench.us(1099), 30000], [bench.us(1200), 0]]  # 1 us of overlap
    assert refused(check(bench, drafts), "RF amplitude").requested > 129


def test_single_part_beyond_the_converter(bench):
    drafts = bench.drafts()
    drafts[0].tracks["tx0_i"][0][1] = -32768
    found = refused(check(bench, drafts), "tx0_i range")
    assert (found.requested, found.allowed) == (-32768, -32767)


def test_long_pulse(bench):
    drafts = bench.drafts()
    for name in ("tx0_i", "tx0_q"):
        drafts[0].tracks[name] = [[bench.us(1000), 100], [bench.us(4000), 0], [bench.us(4010), -100], [bench.us(7000), 0]]
    drafts[0].tracks["tx_gate"] = [[bench.us(850), 1], [bench.us(7100), 0]]
    drafts[0].tracks.pop("rx0_en")
    drafts[0].readouts = []
    drafts[0].tracks.pop("rx_gate")
    found = refused(check(bench, drafts), "RF pulse length")  # a zero crossing of 10 us does not make two pulses of it
    np.testing.assert_allclose([found.requested, found.allowed], [6.0, 5.0], rtol=1e-4)
    assert "at most 5 ms" in found.remedy


def test_duty_over_a_second_across_segments(bench):
    drafts = []
    for index in range(60):
        draft = bench.drafts()[0]
        draft.start_s = 0.02 * index
        for name in ("tx0_i", "tx0_q"):
            draft.tracks[name] = [[bench.us(1000), 100], [bench.us(3200), 0]]
        draft.tracks["tx_gate"] = [[bench.us(850), 1], [bench.us(3300), 0]]
        drafts.append(draft)
    report = check(bench, drafts)
    found = refused(report, "RF duty in one second")
    np.testing.assert_allclose([found.requested, found.allowed], [11.0, 10.0], rtol=0.03)
    assert "Lengthen TR to at least 5" in found.remedy
    assert refused(report, "RF duty of the scan").unit == "%"
    assert check(bench, drafts, bench.scanner(max_duty=0.12)).is_allowed
    # A burst within the scan is found although the whole scan is far below the limit.
    for index, draft in enumerate(drafts[50:]):
        draft.start_s += 20.0 + index * 3
    assert [finding.limit for finding in check(bench, drafts).findings] == ["RF duty in one second"]


@pytest.mark.parametrize("channel", ["x", "y", "z"])
@pytest.mark.parametrize("sign", [1, -1])
def test_gradient_amplitude(bench, channel, sign):
    drafts = bench.drafts()
    drafts[1].tracks[f"grad_v{channel}"] = bench.trapezoid(bench.us(10_000), sign * 20000, n_ramp=60)
    found = refused(check(bench, drafts), f"{channel} gradient amplitude")
    np.testing.assert_allclose([found.requested, found.allowed], [20000 * bench.T_PER_M_PER_CODE * 1e3, 10.0], rtol=1e-6)
    assert found.unit == "mT/m"
    assert "at least 1.221 times" in found.remedy
    assert 0.0606 <= found.time_s < 0.062


def test_shim_counts_towards_the_amplitude(bench):
    shim = 5000
    drafts = bench.drafts()
    for draft in drafts:
        draft.shim = (shim, 0, 0)
        lobe = [[tick, value + shim] for tick, value in draft.tracks["grad_vx"]]
        draft.tracks["grad_vx"] = [[bench.us(50), shim], *lobe, [draft.end - bench.us(100), 0]]
    calibration = bench.calibration(shim_t_per_m=(shim * bench.T_PER_M_PER_CODE, 0.0, 0.0))
    found = refused(check(bench, drafts, calibration=calibration), "x gradient amplitude")
    np.testing.assert_allclose(found.requested, 17000 * bench.T_PER_M_PER_CODE * 1e3, rtol=1e-6)
    assert "the shim counts as well" in found.remedy
    stronger = bench.scanner(max_t_per_m=11e-3)
    assert refused(check(bench, drafts, stronger, calibration), "x gradient slew").requested > 300  # 3 mT/m in one step
    assert check(bench, drafts, bench.scanner(max_t_per_m=11e-3, max_slew_t_per_m_s=310.0), calibration).is_allowed


def test_shim_may_stay_at_the_end_and_nothing_else(bench):
    drafts = bench.drafts()
    for draft in drafts:
        draft.shim = (0, 300, 0)
        draft.tracks["grad_vy"] = [[bench.us(50), 300]]
    calibration = bench.calibration(shim_t_per_m=(0.0, 300 * bench.T_PER_M_PER_CODE, 0.0))
    assert check(bench, drafts, calibration=calibration).findings == ()
    drafts[1].tracks["grad_vy"][0][1] = 299
    assert "grad_vy is still 299" in refused(check(bench, drafts, calibration=calibration), "outputs at the end").event


def test_shim_of_another_prescan(bench):
    found = refused(check(bench, calibration=bench.calibration(shim_t_per_m=(0.0, 0.0, 1e-4))), "shim")
    assert "Prepare the scan again" in found.remedy


def test_slew_of_a_ramp(bench):
    drafts = bench.drafts()
    drafts[0].tracks["grad_vx"] = bench.trapezoid(bench.us(10_000), 16000, n_ramp=15)  # 9.77 mT/m in 150 us
    found = refused(check(bench, drafts), "x gradient slew")
    np.testing.assert_allclose([found.requested, found.allowed], [16000 * bench.T_PER_M_PER_CODE / 150e-6, 50], rtol=5e-3)
    assert found.unit == "T/m/s"
    assert "ramps at least 1.30 times" in found.remedy


def test_slew_of_a_ramp_at_the_limit_passes(bench):
    drafts = bench.drafts()
    peak = round(50 * 190e-6 / bench.T_PER_M_PER_CODE)
    drafts[0].tracks["grad_vx"] = bench.trapezoid(bench.us(10_000), peak, n_ramp=19)
    assert check(bench, drafts).findings == ()


@pytest.mark.parametrize("hold_us", [25, 100, 5000])
def test_jump_after_a_long_pause_is_as_steep_as_it_is(bench, hold_us):
    drafts = bench.drafts()
    start = bench.us(10_000)
    drafts[0].tracks["grad_vz"] = [[start, 4000], [start + bench.us(hold_us), 0]]
    found = refused(check(bench, drafts), "z gradient slew")
    np.testing.assert_allclose(found.requested, 4000 * bench.T_PER_M_PER_CODE / 10e-6, rtol=1e-3)


def test_steps_finer_than_the_interval_are_not_steeper_than_their_mean(bench):
    # One channel alone may be updated every 2 us; 1000 codes in 50 us are 12 T/m/s.
    drafts = bench.drafts()
    codes = [*range(40, 1001, 40)]
    drafts[0].tracks = {"grad_vx": bench.staircase(bench.us(10_000), [*codes, *codes[::-1]], cell=bench.us(2))}
    drafts[0].readouts = []
    assert check(bench, drafts).is_allowed


def test_gradient_rms(bench):
    drafts = bench.drafts()
    for draft in drafts:
        draft.end = bench.us(1_000_000)
        draft.tracks = {"grad_vx": bench.trapezoid(bench.us(1000), 12000, flat=bench.us(900_000))}
        draft.readouts = []
    drafts[1].start_s = 1.01
    found = refused(check(bench, drafts), "x gradient RMS in one second")
    expected = 12000 * bench.T_PER_M_PER_CODE * np.sqrt(0.9) * 1e3
    np.testing.assert_allclose([found.requested, found.allowed], [expected, 5.0], rtol=0.01)
    assert "Lengthen TR to at least" in found.remedy


def test_updates_too_fast_for_the_line(bench):
    drafts = bench.drafts()
    drafts[0].tracks["grad_vy"] = bench.trapezoid(bench.us(2000) + 400, -12000)  # on the ticks of z
    found = refused(check(bench, drafts), "gradient update spacing")
    assert (found.requested, found.allowed) == (0, 132)
    board = bench.scanner(board=GradientBoard.OCRA1, full_scale_t_per_m=bench.T_PER_M_PER_CODE * 131071)
    assert check(bench, drafts, board).is_allowed  # that board updates all channels at once


@pytest.mark.parametrize(
    ("gate_us", "limit", "missing"),
    [
        ((920, 1250), "RF amplifier warm-up", 20.0),
        ((850, 1210), "RF amplifier hold", 10.0),
        ((1100, 1250), "RF amplifier warm-up", 100.0),
        ((850, 1100), "RF amplifier hold", 20.0),
    ],
)
def test_blanking(bench, gate_us, limit, missing):
    drafts = bench.drafts()
    drafts[1].tracks["tx_gate"] = [[bench.us(gate_us[0]), 1], [bench.us(gate_us[1]), 0]]
    found = refused(check(bench, drafts), limit)
    assert f"by {missing:.1f} us" in found.remedy


def test_rf_without_any_gate(bench):
    drafts = bench.drafts()
    for draft in drafts:
        del draft.tracks["tx_gate"]
    report = check(bench, drafts)
    assert {"RF amplifier warm-up", "RF amplifier hold"} <= {finding.limit for finding in report.findings}


def test_dead_time(bench):
    drafts = bench.drafts()
    for name, shift in (("tx0_i", 3700), ("tx0_q", 3700), ("tx_gate", 3650)):
        drafts[0].tracks[name] = [[tick + bench.us(shift), value] for tick, value in drafts[0].tracks[name]]
    found = refused(check(bench, drafts), "dead time after RF")  # the pulse ends at 4900 us, the readout starts at 5000 us
    np.testing.assert_allclose([found.requested, found.allowed], [100, 300], atol=0.02)
    assert "at least 200" in found.remedy


def test_pulse_or_gate_within_a_readout(bench):
    drafts = bench.drafts()
    drafts[0].tracks["tx_gate"] += [[bench.us(5500), 1], [bench.us(5600), 0]]
    assert refused(check(bench, drafts), "receiving while unblanked").requested < 0
    drafts = bench.drafts()
    drafts[0].tracks["tx0_i"] += [[bench.us(5999), 1], [bench.us(6000), 0]]
    assert refused(check(bench, drafts), "dead time after RF").requested < 0


def test_receiver_connected_during_rf(bench):
    drafts = bench.drafts()
    drafts[0].tracks["rx_gate"] = [[bench.us(1100), 1], [bench.us(7000), 0]]
    refused(check(bench, drafts), "receiver connected during RF")


@pytest.mark.parametrize("name", ["tx0_i", "tx0_q", "tx_gate", "rx0_en", "rx_gate", "grad_vx", "trig_out", "leds"])
def test_everything_is_zero_at_the_end(bench, name):
    drafts = bench.drafts()
    drafts[0].tracks.setdefault(name, []).append([drafts[0].end - 1, 1])
    assert f"{name} is still 1 at the end of segment 0" in refused(check(bench, drafts), "outputs at the end").event


@pytest.mark.parametrize(
    ("change", "limit", "text"),
    [
        ({"readouts": [[614_400, 3, 41_000]]}, "receiver decimation", "readout 0"),
        ({"readouts": [[614_400, 4096, 30]]}, "receiver decimation", "readout 0"),
        ({"readouts": [[614_400, 123, 999]]}, "receive windows", "opens for 123000 ticks instead of 999 x 123"),
        ({"readouts": [[614_401, 123, 1000]]}, "receive windows", "readout 0"),
        ({"readouts": []}, "receive windows", "2 times for 1 readouts"),
        ({"readouts": [[614_400, 124, 1000]]}, "receive windows", "readout 0"),
    ],
)
def test_receive_windows_agree_with_the_readouts(bench, change, limit, text):
    drafts = bench.drafts()
    drafts[0].readouts = change["readouts"]
    assert text in refused(check(bench, drafts), limit).event


@pytest.mark.parametrize(
    "rates", [[], [[100, 100]], [[614_380, 123]], [[100, 123], [700_000, 100]], [[100, 123], [614_400, 100]]]
)
def test_rate_is_set_in_time_and_stays(bench, rates):
    drafts = bench.drafts()
    drafts[0].tracks["rx0_rate"] = rates
    assert "rate for readout 0 is not 123" in refused(check(bench, drafts), "receiver rate").event


def test_several_rates_in_one_segment(bench):
    drafts = bench.drafts()
    second = bench.us(9000)
    drafts[0].tracks["rx0_rate"] += [[second - 60, 200]]
    drafts[0].tracks["rx0_en"] += [[second, 1], [second + 200 * 500, 0]]
    drafts[0].tracks["rx_gate"] += [[second, 1], [second + 200 * 500, 0]]
    drafts[0].readouts += [[second, 200, 500]]
    assert check(bench, drafts).findings == ()


def test_receive_buffer(bench):
    drafts = bench.drafts()
    window, n_raw = bench.us(5000), 30_000
    drafts[0].readouts = [[window, 4, n_raw]]  # 30.72 MS/s for 1 ms
    drafts[0].tracks["rx0_rate"] = [[100, 4]]
    drafts[0].tracks["rx0_en"] = [[window, 1], [window + 4 * n_raw, 0]]
    found = refused(check(bench, drafts), "receive buffer")
    np.testing.assert_allclose([found.requested, found.allowed], [n_raw - 2e6 * 120_000 / bench.CLOCK_HZ, 14_336], rtol=1e-6)
    assert "Use at most 51 %" in found.remedy


def test_samples_left_at_the_end(bench):
    drafts = bench.drafts()
    n_raw = 12_000
    window = drafts[0].end - 4 * n_raw - 10
    drafts[0].readouts = [[window, 4, n_raw]]
    drafts[0].tracks["rx0_rate"] = [[100, 4]]
    drafts[0].tracks["rx0_en"] = drafts[0].tracks["rx_gate"] = [[window, 1], [window + 4 * n_raw, 0]]
    assert refused(check(bench, drafts), "samples left at the end of a segment").requested > 10_000


def with_sensor(drafts):
    for draft in drafts:
        for first, second in (("rx0_rate", "rx1_rate"), ("rx0_en", "rx1_en")):
            if first in draft.tracks:
                draft.tracks[second] = [list(pair) for pair in draft.tracks[first]]
    return drafts


def test_a_sensor_listens_exactly_when_the_coil_does(bench):
    assert check(bench, with_sensor(bench.drafts())).findings == ()
    for name, change in (("rx1_en", [[700_000, 1], [700_123, 0]]), ("rx1_rate", [[100, 124]]), ("rx1_rate", [])):
        drafts = with_sensor(bench.drafts())
        drafts[0].tracks[name] = change
        assert f"{name} is not what rx0_" in refused(check(bench, drafts), "sensor").event


def test_a_sensor_that_stays_on_is_seen_at_the_end(bench):
    drafts = with_sensor(bench.drafts())
    drafts[0].tracks["rx1_en"].append([drafts[0].end - 1, 1])
    assert "rx1_en is still 1 at the end of segment 0" in refused(check(bench, drafts), "outputs at the end").event


def test_two_receivers_share_the_time_of_the_server(bench):
    drafts = bench.drafts()
    n_raw = 6_000  # waits in the buffer: fine for one receiver, not for two
    window = drafts[0].end - 4 * n_raw - 10
    drafts[0].readouts = [[window, 4, n_raw]]
    drafts[0].tracks["rx0_rate"] = [[100, 4]]
    drafts[0].tracks["rx0_en"] = drafts[0].tracks["rx_gate"] = [[window, 1], [window + 4 * n_raw, 0]]
    assert check(bench, drafts).findings == ()
    found = refused(check(bench, with_sensor(drafts)), "samples left at the end of a segment")
    assert found.allowed == 5_000


@pytest.mark.parametrize(
    ("lo_hz", "match"),
    [(2.2e6, "kHz from"), (1.8e6, "kHz from"), (61.44e6, "MHz"), (-1.0, "MHz"), (float("nan"), "MHz")],
)
def test_carrier(bench, lo_hz, match):
    found = refused(check(bench, lo_hz=lo_hz), "carrier frequency")
    assert match in found.unit
    assert "Repeat the frequency prescan" in found.remedy


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({"scanner_name": "other"}, "compiled for another scanner"),
        ({"clock_hz": 125e6}, "console clock"),
        ({"tx_t_per_code": 90e-6 / 32767}, "RF calibration"),
        ({"gradient_t_per_m_per_code": (6.1e-7, 6.1e-7, 7e-7)}, "gradient calibration"),
    ],
)
def test_scan_of_another_scanner_or_prescan(bench, change, limit):
    assert "Prepare the scan again" in refused(check(bench, **change), limit).remedy


def test_rf_scale_of_the_prescan_is_part_of_it(bench):
    refused(check(bench, calibration=bench.calibration(rf_scale=1.1)), "RF calibration")
    assert check(bench, calibration=bench.calibration(rf_scale=1.1), tx_t_per_code=110e-6 / 32767).is_allowed


LIMITS = (
    *("full_scale_t", "warmup_s", "hold_s", "dead_time_s", "max_pulse_s", "max_duty", "max_t_per_m", "max_slew_t_per_m_s"),
    *("max_rms_t_per_m", "full_scale_t_per_m", "update_interval_s", "larmor_hz", "search_span_hz"),
)
UNKNOWN = [(name, value) for name in LIMITS for value in (float("nan"), float("inf"), 0.0, -1.0)]
# No warm-up, hold or dead time is a value; the sign of a full scale is wiring.
UNKNOWN = [
    pair for pair in UNKNOWN if pair not in [("warmup_s", 0), ("hold_s", 0), ("dead_time_s", 0), ("full_scale_t_per_m", -1)]
]


@pytest.mark.parametrize(("name", "value"), UNKNOWN)
def test_unknown_limits_refuse(bench, name, value):
    found = refused(check(bench, scanner=bench.scanner(**{name: value})), "unknown limit")
    assert "hardware file" in found.remedy


def test_unknown_calibration_refuses(bench):
    refused(check(bench, calibration=bench.calibration(larmor_hz=float("nan"))), "unknown limit")
    refused(check(bench, calibration=bench.calibration(shim_t_per_m=(0.0, float("nan"), 0.0))), "unknown limit")


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"grad_vx": [[100, 5], [100, 0]]}, "order of events"),
        ({"grad_vx": [[100, 5], [90, 0]]}, "order of events"),
        ({"grad_vx": [[-1, 5], [90, 0]]}, "end of segment"),
        ({"grad_vx": [[100, 5], [2_457_600, 0]]}, "end of segment"),
        ({"grad_vx": [[100, 32768], [200, 0]]}, "grad_vx range"),
        ({"grad_vx": [[100, -32769], [200, 0]]}, "grad_vx range"),
        ({"tx_gate": [[100, 2], [200, 0]]}, "tx_gate range"),
        ({"leds": [[100, 256], [200, 0]]}, "leds range"),
        ({"rx0_rate": [[100, 5000]]}, "rx0_rate range"),
        ({"wobble": [[100, 1], [200, 0]]}, "channels"),
    ],
)
def test_malformed_tables(bench, changes, limit):
    drafts = bench.drafts()
    drafts[1].tracks |= changes
    refused(check(bench, drafts), limit)


def test_segments_in_wrong_order_or_none(bench):
    drafts = bench.drafts()
    drafts[1].start_s = 0.019
    refused(check(bench, drafts), "segment order")
    drafts[1].start_s = float("nan")
    refused(check(bench, drafts), "segment times")
    refused(check(bench, []), "segments")


def test_floats_in_a_table_are_refused(bench):
    scan = bench.build(bench.drafts())
    track = dataclasses.replace(
        scan.segments[0].tracks["grad_vx"], values=np.full(len(scan.segments[0].tracks["grad_vx"].ticks), np.nan)
    )
    segment = dataclasses.replace(scan.segments[0], tracks={**scan.segments[0].tracks, "grad_vx": track})
    scan = dataclasses.replace(scan, segments=(segment, scan.segments[1]))
    refused(check_scan(scan, bench.scanner(), bench.calibration()), "table format")


def test_worst_finding_is_raised_and_the_rest_counted(bench):
    drafts = bench.drafts()
    drafts[0].tracks["grad_vx"] = bench.trapezoid(bench.us(10_000), 20000, n_ramp=10)
    with pytest.raises(LimitError, match=r"x gradient slew.* 1 more limit is not kept"):
        check(bench, drafts).raise_if_refused()
    assert SafetyReport(findings=()).is_allowed


@settings(max_examples=60, deadline=None)
@given(
    channel=st.sampled_from(["tx", "grad_vx", "grad_vy", "grad_vz"]),
    excess=st.floats(1.001, 3.0),
    sign=st.sampled_from([1, -1]),
)
def test_scaling_any_channel_beyond_its_limit_is_always_refused(bench, channel, excess, sign):
    drafts = bench.drafts()
    if channel == "tx":
        factor = sign * excess * 32767 / np.hypot(20000, 10000)
        for name in ("tx0_i", "tx0_q"):
            drafts[1].tracks[name] = [[tick, int(np.rint(value * factor))] for tick, value in drafts[1].tracks[name]]
        expected = {"RF amplitude", "tx0_i range"}
    else:
        peak = max(abs(value) for _, value in drafts[1].tracks[channel])
        factor = sign * (excess * 10e-3 / bench.T_PER_M_PER_CODE + 2) / peak
        drafts[1].tracks[channel] = [[tick, int(np.rint(value * factor))] for tick, value in drafts[1].tracks[channel]]
        expected = {f"{channel[-1]} gradient amplitude", f"{channel} range"}
    found = {finding.limit for finding in check(bench, drafts).findings}
    assert found & expected


def test_a_ramp_in_steps_finer_than_the_interval_is_as_steep_as_it_is(bench):
    drafts = bench.drafts()
    fine = bench.us(1.1)  # the serial line can do that; eight of them within one update interval of 10 us
    start = bench.us(11_000)
    up = [[start + i * fine, 120 * (i + 1)] for i in range(40)]
    down = [[bench.us(13_000) + i * bench.us(50), 4800 - 120 * (i + 1)] for i in range(40)]
    drafts[0].tracks["grad_vx"] += [*up, *down]
    found = refused(check(bench, drafts), "x gradient slew")
    slope = 120 * bench.T_PER_M_PER_CODE / 1.1e-6
    assert 0.8 * slope < found.requested < 1.3 * slope


def test_a_scan_for_another_frequency_than_the_prescans_is_refused(bench):
    refused(check(bench, calibration=bench.calibration(larmor_hz=2.0105e6)), "carrier frequency of the prescan")


def test_the_receiver_is_not_connected_while_the_amplifier_is_unblanked(bench):
    drafts = bench.drafts()
    drafts[0].tracks["tx_gate"][1][0] = bench.us(4990)  # the receive gate opens at 4980 us
    refused(check(bench, drafts), "receiver connected while unblanked")


def test_a_window_without_a_connected_receiver_measures_nothing_and_is_refused(bench):
    drafts = bench.drafts()
    drafts[1].tracks["rx_gate"] = []
    refused(check(bench, drafts), "receive windows")


def test_a_segment_that_stop_could_not_end_in_time_is_refused(bench):
    drafts = bench.drafts()
    drafts[1].end = bench.us(5_200_000)
    found = refused(check(bench, drafts), "time until Stop takes effect")
    assert found.requested == pytest.approx(5.2)


def test_segments_in_the_wrong_order_or_readouts_of_another_are_refused(bench):
    scan = bench.build(bench.drafts())
    first, second = scan.segments
    swapped = (dataclasses.replace(second, start_s=0.0), dataclasses.replace(first, start_s=0.05))
    assert "segment order" in limits(bench, dataclasses.replace(scan, segments=swapped))
    labels = {"LIN": np.array([3, 4], dtype=np.int32)}
    relabelled = dataclasses.replace(scan, readouts=dataclasses.replace(scan.readouts, labels=labels))
    assert "readouts" in limits(bench, relabelled)
    moved = dataclasses.replace(scan, segment_of_readout=np.array([0, 0], dtype=np.int32))
    assert "readouts" in limits(bench, moved)


@pytest.mark.parametrize("change", [{"start_s": 1e300}, {"start_s": float("nan")}, {"end_tick": 2**63 - 1}, {"end_tick": 0}])
def test_times_that_no_clock_counts_are_refused_and_do_not_overflow(bench, change):
    scan = bench.build(bench.drafts())
    broken = (scan.segments[0], dataclasses.replace(scan.segments[1], **change))
    assert "segment times" in limits(bench, dataclasses.replace(scan, segments=broken))


def limits(bench, scan):
    """Names of what speaks against a scan."""
    return [finding.limit for finding in check_scan(scan, bench.scanner(), bench.calibration()).findings]


def test_a_label_below_zero_is_refused_before_the_scan(bench):
    scan = bench.build(bench.drafts())
    labels = [{"LIN": np.array([value], dtype=np.int32)} for value in (-2, 0)]
    segments = tuple(
        dataclasses.replace(segment, readouts=dataclasses.replace(segment.readouts, labels=each))
        for segment, each in zip(scan.segments, labels, strict=True)
    )
    whole = dataclasses.replace(scan.readouts, labels={"LIN": np.array([-2, 0], dtype=np.int32)})
    report = check_scan(dataclasses.replace(scan, segments=segments, readouts=whole), bench.scanner(), bench.calibration())
    found = refused(report, "label LIN")
    assert (found.requested, found.remedy) == (-2, "Count LIN from 0 in the sequence.")
