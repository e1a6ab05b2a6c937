# SPDX-License-Identifier: MIT
"""The SAR monitor on scripted bytes: what it may say, when, and what must never be taken for good."""

import itertools
import math
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_far_end import Scripted

from isocenter.devices.sar_monitor import OvguSarMonitor
from isocenter.devices.sar_monitor_frames import FrameReader, encode_frame
from isocenter.domain.device import Condition, DeviceLink, DeviceRole
from isocenter.domain.errors import ConfigError, DeviceFault, DeviceTimeout, ProtocolError, WrongState
from isocenter.virtual.peripherals.lines import Reply, VirtualLine

IDENT = b"ident\x04\x4e\x78\xb2\r\n\t"  # reference domain.md 1.4; as an existing program sends it


def frame(text: str, tail: bytes = b"\r\n\t") -> bytes:
    data = text.encode()
    return data + zlib.crc32(data).to_bytes(4, "big") + tail


def obedient(data: bytes) -> list[bytes]:
    """Answers every frame of a piece as a healthy box would."""
    answers = {IDENT: frame("sar2.0"), frame("s"): frame("SARstop"), frame("start"): frame("start")}
    return [answer for question, answer in answers.items() if question in data]


def link(url: str, **options: float) -> DeviceLink:
    return DeviceLink(
        role=DeviceRole.SAR_MONITOR,
        driver="ovgu-sar",
        url=url,
        options={"w_per_adc2": 1e-4, "peak_limit_power": 2, **options},
    )


def watching(url: str) -> OvguSarMonitor:
    monitor = OvguSarMonitor(link(url))
    monitor.open()
    monitor.standby()
    monitor.set_limits(mean_10s_w=2, mean_6min_w=1, peak_w=1000)
    monitor.enable()
    return monitor


def test_a_frame_is_the_one_that_existing_programs_send() -> None:
    assert encode_frame("ident") == IDENT


@pytest.mark.parametrize("tail", [b"\r\n", b"\r\n\t"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_frames_are_cut_out_of_any_pieces(tail: bytes, size: int) -> None:
    stream = frame("start", tail) + frame("10slimit", tail) + frame("SARstop", tail)
    reader = FrameReader()
    texts = [text for at in range(0, len(stream), size) for text in reader.feed(stream[at : at + size])]
    assert texts == ["start", "10slimit", "SARstop"]
    assert not reader.has_lost


def test_a_crc_may_hold_a_line_end_or_text() -> None:
    """Searched by brute force: one whose CRC begins with CR LF, and one whose CRC ends with it."""
    begins = next(f"x{n}" for n in range(300_000) if zlib.crc32(f"x{n}".encode()) >> 16 == 0x0D0A)
    ends = next(f"x{n}" for n in range(300_000) if zlib.crc32(f"x{n}".encode()) & 0xFFFF == 0x0D0A)
    reader = FrameReader()
    assert reader.feed(frame(begins) + frame(ends) + frame("start")) == [begins, ends, "start"]
    assert not reader.has_lost


@settings(deadline=None)
@given(
    parts=st.lists(
        st.one_of(
            st.sampled_from(["start", "10slimit", "SARstop", "sar2.0"]).map(lambda text: (text, frame(text))),
            st.binary(max_size=20).map(lambda noise: ("", noise)),
        ),
        max_size=8,
    ),
    cuts=st.lists(st.integers(0, 200), max_size=6),
)
def test_whatever_comes_between_frames_none_is_lost_and_none_is_made_up(
    parts: list[tuple[str, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(data for _, data in parts)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = FrameReader()
    texts = [text for a, b in itertools.pairwise(edges) for text in reader.feed(stream[a:b])]
    assert texts == [text for text, _ in parts if text]


def test_frames_are_found_again_behind_noise_and_the_noise_is_told() -> None:
    reader = FrameReader()
    assert reader.feed(b"\x00\xff~~sta\r\n" + frame("start")) == ["start"]
    assert reader.has_lost


def test_a_wrong_crc_is_no_frame() -> None:
    reader = FrameReader()
    spoilt = frame("10slimit").replace(b"10s", b"11s")
    assert reader.feed(spoilt) == []
    assert reader.feed(frame("start")) == ["start"]
    assert reader.has_lost


@pytest.mark.parametrize("identity", [frame("sar2.0"), frame("sar2.0", b"\r\n"), b"sar2.0\r\n", frame("sar2.0 rev B")])
def test_it_is_recognised_with_and_without_a_crc(identity: bytes) -> None:
    with VirtualLine(Scripted(lambda _: [identity]), "pty") as line:
        monitor = OvguSarMonitor(link(line.url))
        assert monitor.open().startswith("sar2.0")
        assert monitor.poll().condition is Condition.UNKNOWN  # it may be watching, or tripped: nobody asked it
        monitor.close()


def test_another_device_is_refused_by_name() -> None:
    with (
        VirtualLine(Scripted(lambda _: [frame("sar1.4")]), "pty") as line,
        pytest.raises(ProtocolError, match=r"calls itself 'sar1.4'.*\n.*address"),
    ):
        OvguSarMonitor(link(line.url)).open()


def test_a_silent_box_is_a_timeout_and_never_ready() -> None:
    with VirtualLine(Scripted(), "pty") as line:
        monitor = OvguSarMonitor(link(line.url))
        begin_s = time.monotonic()
        with pytest.raises(DeviceTimeout, match="SAR monitor did not say who it is"):
            monitor.open()
        assert time.monotonic() - begin_s < 2.0


def test_watching_is_ready_only_after_the_box_said_so() -> None:
    far = Scripted(obedient)
    with VirtualLine(far, "pty") as line:
        monitor = watching(line.url)
        assert monitor.poll().condition is Condition.READY
        far.answer = lambda data: [frame("sar2.0")] if IDENT in data else []
        with pytest.raises(DeviceTimeout, match="did not stop within"):
            monitor.standby()
        assert monitor.poll().condition is Condition.UNKNOWN
        monitor.close()


@pytest.mark.parametrize(
    ("alarm", "fault", "words"),
    [
        ("tranlimit", "sar_peak", "peak"),
        ("reflimit", "reflected", "came back from the coil"),  # an existing program spells it refllimit and never knows it
        ("10slimit", "sar_10s", "10 s"),
        ("6minlimit", "sar_6min", "6 min"),
    ],
)
def test_an_alarm_that_comes_unasked_is_in_the_next_poll_and_stays(alarm: str, fault: str, words: str) -> None:
    far = Scripted(obedient)
    with VirtualLine(far, "pty") as line:
        monitor = watching(line.url)
        far.say(frame("SARstop"), frame(alarm))
        for _ in range(2):
            reading = monitor.poll()
            assert (reading.condition, reading.faults) == (Condition.FAULT, (fault,))
            assert words in reading.text
        monitor.standby()
        assert monitor.poll().condition is Condition.FAULT  # a stop does not clear it
        with pytest.raises(WrongState, match=f"{words}.*\n.*press the reset button"):
            monitor.enable()
        monitor.close()


def test_an_alarm_between_question_and_answer_is_not_lost() -> None:
    far = Scripted(obedient)
    with VirtualLine(far, "pty") as line:
        monitor = watching(line.url)
        far.answer = lambda data: [frame("SARstop") + frame("tranlimit") + frame("sar2.0")] if IDENT in data else []
        assert monitor.poll().faults == ("sar_peak",)
        monitor.close()


@pytest.mark.parametrize("noise", [frame("10slimit").replace(b"1", b"7", 1), b"10slim", b"\xfe\xff"])
def test_what_cannot_be_read_may_have_been_an_alarm(noise: bytes) -> None:
    far = Scripted(obedient)
    with VirtualLine(far, "pty") as line:
        monitor = watching(line.url)
        far.say(noise)
        reading = monitor.poll()
        assert reading.condition is Condition.UNKNOWN
        monitor.close()


def test_an_error_of_the_box_is_a_fault() -> None:
    far = Scripted(obedient)
    with VirtualLine(far, "pty") as line:
        monitor = watching(line.url)
        far.say(frame("err:adc"))
        reading = monitor.poll()
        assert (reading.condition, reading.said) == (Condition.FAULT, "sar2.0")
        assert "err:adc" in reading.text
        monitor.close()


def test_a_refused_start_is_not_a_start() -> None:
    far = Scripted(obedient)
    with VirtualLine(far, "pty") as line:
        monitor = OvguSarMonitor(link(line.url))
        monitor.open()
        monitor.standby()
        monitor.set_limits(mean_10s_w=2, mean_6min_w=1, peak_w=1000)
        far.answer = lambda data: [frame("err:lut")] if frame("start") in data else obedient(data)
        with pytest.raises(DeviceFault, match="did not take 'start' and said 'err:lut'"):
            monitor.enable()
        assert monitor.poll().condition is not Condition.READY
        far.answer = lambda data: [frame("reflimit")] if frame("start") in data else obedient(data)
        with pytest.raises(DeviceFault, match="tripped at once"):
            monitor.enable()
        monitor.close()


def test_a_late_start_does_not_count_for_a_later_question() -> None:
    far = Scripted(obedient)
    with VirtualLine(far, "pty") as line:
        monitor = watching(line.url)
        monitor.standby()
        far.say(frame("start"))
        assert monitor.poll().condition is Condition.UNKNOWN
        monitor.close()


def test_limits_go_out_in_squared_units_rounded_down() -> None:
    far = Scripted(obedient)
    with VirtualLine(far, "pty") as line:
        monitor = OvguSarMonitor(link(line.url))
        monitor.open()
        monitor.standby()
        far.heard = b""
        monitor.set_limits(mean_10s_w=2.00009, mean_6min_w=1, peak_w=900)
        assert far.heard == frame("l10s20000") + frame("l6m10000") + frame("tran9000000") + IDENT
        monitor.close()
        plain = OvguSarMonitor(link(line.url, peak_limit_power=1))
        plain.open()
        plain.standby()
        far.heard = b""
        plain.set_limits(mean_10s_w=2, mean_6min_w=1, peak_w=900)
        assert frame("tran3000") in far.heard
        plain.close()


@pytest.mark.parametrize("complaint", ["CSC", "MTS", "err:cmd"])
def test_limits_that_the_box_complains_of_are_sent_again_then_refused(complaint: str) -> None:
    far = Scripted(obedient)
    with VirtualLine(far, "pty") as line:
        monitor = OvguSarMonitor(link(line.url))
        monitor.open()
        monitor.standby()
        far.heard = b""
        far.answer = lambda data: [frame(complaint), frame("sar2.0")] if IDENT in data else []
        with pytest.raises(DeviceFault, match=f"said '{complaint}'"):
            monitor.set_limits(mean_10s_w=2, mean_6min_w=1, peak_w=900)
        assert far.heard.count(frame("l6m10000")) == 2
        with pytest.raises(WrongState, match="no limits"):
            monitor.enable()
        monitor.close()


@pytest.mark.parametrize("peak_w", [1e-5, 2000.0, float("nan")])
def test_a_limit_that_could_never_trip_is_refused(peak_w: float) -> None:
    with VirtualLine(Scripted(obedient), "pty") as line:
        monitor = OvguSarMonitor(link(line.url))
        monitor.open()
        monitor.standby()
        with pytest.raises(ConfigError, match=r"peak.*0.0001 to 1.68e\+03 W"):
            monitor.set_limits(mean_10s_w=2, mean_6min_w=1, peak_w=peak_w)
        monitor.close()


def test_no_limits_while_it_watches_and_no_start_without() -> None:
    with VirtualLine(Scripted(obedient), "pty") as line:
        monitor = watching(line.url)
        with pytest.raises(WrongState, match="is watching, so it takes no new limits"):
            monitor.set_limits(mean_10s_w=2, mean_6min_w=1, peak_w=900)
        monitor.open()
        with pytest.raises(WrongState, match="no limits for this patient"):
            monitor.enable()
        monitor.close()


def test_without_a_calibration_there_is_no_monitor() -> None:
    with pytest.raises(ConfigError, match=r"no calibration.*\n.*w_per_adc2"):
        OvguSarMonitor(DeviceLink(role=DeviceRole.SAR_MONITOR, driver="ovgu-sar", url="none"))
    with pytest.raises(ConfigError, match=r"peak_limit_power.*3"):
        OvguSarMonitor(link("none", peak_limit_power=3))


def test_a_trip_goes_out_first_and_again_and_is_timely() -> None:
    far = Scripted(obedient)
    with VirtualLine(far, "pty") as line:
        monitor = watching(line.url)
        far.heard = b""
        monitor.trip()
        assert far.heard == frame("s")
        far.answer = lambda _: []
        far.heard = b""
        begin_s = time.monotonic()
        with pytest.raises(DeviceTimeout, match="did not stop"):
            monitor.trip()
        assert time.monotonic() - begin_s < 0.4
        assert far.heard == 2 * frame("s")
        monitor.close()


def test_an_answer_in_fragments_and_behind_noise_is_understood() -> None:
    pieces = [Reply(data=b"\x00\x00")] + [Reply(data=bytes([byte]), delay_s=0.002) for byte in frame("SARstop")]
    far = Scripted(lambda data: pieces if frame("s") in data else obedient(data))
    with VirtualLine(far, "pty") as line:
        monitor = OvguSarMonitor(link(line.url))
        monitor.open()
        monitor.standby()
        assert monitor.poll().condition is Condition.STANDBY
        monitor.close()


def telling(data: bytes, means: tuple[str, ...] = ("30000", "20000")) -> list[bytes]:
    """A healthy box that tells its means in squared units."""
    return [*(frame(text) for text in means if frame("r10sec") in data), *obedient(data)]


def test_means_are_told_after_the_stop_in_watts() -> None:
    with VirtualLine(Scripted(telling), "pty") as line:
        monitor = watching(line.url)
        assert monitor.poll().values == {}, "nobody has said that this box may be asked while it watches"
        assert all(math.isnan(mean_w) for mean_w in monitor.mean_power_w())
        monitor.standby()
        assert monitor.mean_power_w() == (pytest.approx(3.0), pytest.approx(2.0))
        assert monitor.poll().condition is Condition.STANDBY


def test_means_are_told_while_it_watches_where_the_hardware_file_says_so() -> None:
    with VirtualLine(Scripted(telling), "pty") as line:
        monitor = OvguSarMonitor(link(line.url, tells_while_watching=1))
        monitor.open()
        monitor.standby()
        monitor.set_limits(mean_10s_w=2, mean_6min_w=1, peak_w=1000)
        monitor.enable()
        reading = monitor.poll()
    assert reading.condition is Condition.READY
    assert dict(reading.values) == {
        "forward_mean_10s_w": pytest.approx(3.0),
        "forward_mean_6min_w": pytest.approx(2.0),
    }


@pytest.mark.parametrize("means", [(), ("30000",), ("30000", "err:re"), ("err:cmd",), ("30000", "2", "20000"), ("-3", "4")])
def test_an_answer_that_is_not_two_numbers_is_unknown_and_no_fault_of_a_box_that_is_stopped(means: tuple[str, ...]) -> None:
    with VirtualLine(Scripted(lambda data: telling(data, means)), "pty") as line:
        monitor = watching(line.url)
        monitor.standby()
        assert all(math.isnan(mean_w) for mean_w in monitor.mean_power_w())
        assert monitor.poll().condition is Condition.STANDBY


def test_a_box_that_complains_of_the_question_while_it_watches_counts_as_one_that_does_not_watch() -> None:
    with VirtualLine(Scripted(lambda data: telling(data, ("err:samp",))), "pty") as line:
        monitor = OvguSarMonitor(link(line.url, tells_while_watching=1))
        monitor.open()
        monitor.standby()
        monitor.set_limits(mean_10s_w=2, mean_6min_w=1, peak_w=1000)
        monitor.enable()
        assert monitor.poll().condition is Condition.FAULT
