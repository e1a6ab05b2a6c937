# SPDX-License-Identifier: MIT
"""Hardware files: the shipped ones hold together, and a wrong one is refused with file, line, key, found and allowed."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from isocenter.config import hardware, paths
from isocenter.config.hardware import board_minimum_s, list_scanners, load_scanner
from isocenter.domain.errors import ConfigError
from isocenter.domain.scanner import Evidence, GradientBoard

SHIPPED = ("osii-mini", "osii-one", "physio-72mT")


@pytest.fixture(autouse=True)
def no_user_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(paths.platformdirs, "user_config_dir", lambda *args, **kwargs: str(tmp_path / "user"))


@pytest.fixture
def text():
    return (paths.shipped_dir("hardware_configs") / "osii-one.toml").read_text(encoding="utf-8")


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "mine.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_scanner(path)

    return load


def test_the_three_shipped_scanners_are_listed():
    assert list_scanners() == SHIPPED


@pytest.mark.parametrize(
    ("name", "field_t", "board"),
    [("osii-one", 0.047, "gpa-fhdo"), ("physio-72mT", 0.072, "ocra1"), ("osii-mini", 0.045, "gpa-fhdo")],
)
def test_field_follows_from_the_frequency(name, field_t, board):
    scanner = load_scanner(name)
    assert scanner.magnet.b0_t == pytest.approx(field_t, abs=1e-3)
    assert scanner.gradients.board == board
    assert scanner.name == name


@pytest.mark.parametrize(("name", "count"), [("osii-mini", 44), ("osii-one", 50), ("physio-72mT", 37)])
def test_every_number_carries_its_origin(name, count):
    scanner = load_scanner(name)
    assert len(scanner.origins) == count
    assert all(len(origin.source) > 5 and origin.evidence in Evidence for origin in scanner.origins.values())
    assert scanner.origins["gradients.z.max_slew_t_per_m_s"].evidence is Evidence.ASSUMED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_180_degree_pulse_of_200_us_is_within_full_scale(name):
    assert load_scanner(name).rf.full_scale_hz > 0.5 / 200e-6


@pytest.mark.parametrize("name", SHIPPED)
def test_wiring_is_a_signed_permutation_and_survives_pickling(name):
    scanner = load_scanner(name)
    matrix = scanner.gradients.channel_from_device
    np.testing.assert_array_equal(matrix @ matrix.T, np.eye(3))
    copy = pickle.loads(pickle.dumps(scanner))
    np.testing.assert_array_equal(copy.gradients.channel_from_device, matrix)
    assert copy.origins == scanner.origins


def test_osii_mini_is_wired_with_x_out_of_the_bore():
    wiring = load_scanner("osii-mini").gradients.channel_from_device
    np.testing.assert_array_equal(wiring @ [0, 0, 1], [1, 0, 0])
    assert np.linalg.det(wiring) == pytest.approx(1)


def test_board_minimum_is_what_the_board_can_do():
    assert board_minimum_s(GradientBoard.OCRA1, 19, 122.88e6) == pytest.approx(487 / 122.88e6)
    assert board_minimum_s(GradientBoard.GPA_FHDO, 4, 122.88e6) == pytest.approx(3 * 132 / 122.88e6)


# what is replaced, by what, and what the message must say: key with its line, found, allowed or remedy
WRONG = {
    "misspelt key": (
        "larmor_hz =",
        "lamor_hz =",
        r"line \d+, key 'magnet.lamor_hz': there is no such key.*mean 'larmor_hz'",
    ),
    "wrong unit in the key": ("larmor_hz =", "larmor_mhz =", r"key 'magnet.larmor_mhz'.*Did you mean 'larmor_hz'\?"),
    "field typed": ("[magnet]", "[magnet]\nb0_t = 0.047", r"key 'magnet.b0_t': the field.*not typed.*follows from magnet"),
    "value in MHz": ("value = 2.0e6", "value = 2.0", r"key 'magnet.larmor_hz': found 2; allowed is 100000 to 6e\+07 Hz"),
    "not a number": (
        "value = 2.0e6",
        'value = "2 MHz"',
        r"larmor_hz.value': found '2 MHz'; allowed is a number, without quotes",
    ),
    "number is nan": ("value = 2.0e6", "value = nan", r"larmor_hz': found nan; allowed is 100000"),
    "number is inf": ("value = 2.0e6", "value = inf", r"larmor_hz': found inf; allowed is 100000"),
    "number is true": ("value = 2.0e6", "value = true", r"larmor_hz.value': found True; allowed is a number"),
    "bare number": (
        "bore_m = {",
        "bore_m = 0.3 #",
        r"key 'magnet.bore_m': found 0.3; allowed is a number with its origin.*value =",
    ),
    "evidence word": (
        'evidence = "specified", source = "OSI² ONE: about 48',
        'evidence = "guessed", source = "OSI² ONE: about 48',
        r"larmor_hz.evidence': found 'guessed'; allowed is 'measured', 'specified' or 'assumed'",
    ),
    "missing value": ("bore_m = {", "#", r"key 'magnet.bore_m': this key is missing\..*Write it as bore_m = \{ value"),
    "missing table": ("[rf]", "[rf2]", r"'rf2': there is no such key.* 1 more problem.*Did you mean 'rf'"),
    "board": ('"gpa-fhdo"', '"ocra2"', r"gradients.board': found 'ocra2'; allowed is 'ocra1' or 'gpa-fhdo'"),
    "console family": ('"marcos"', '"tecmag"', r"console.family': found 'tecmag'; allowed is 'marcos'"),
    "port": ("port = 11111", "port = 111111", r"console.port': found 111111; allowed is 1 to 65535"),
    "coil name too long": ('"HEAD SOLENOID"', '"HEAD SOLENOID NUMBER 2"', r"receiver.coil_name'.*at most 16 characters"),
    "body part": ('["HEAD"]', '["SKULL"]', r"body_parts': found 'SKULL'; allowed are .*HEAD"),
    "wiring not a permutation": (
        "[1, 0, 0], [0, 1, 0]",
        "[1, 0, 0], [1, 0, 0]",
        r"channel_from_device': found .*allowed are",
    ),
    "wiring not of shape 3x3": (", [0, 0, 1]]", "]", r"channel_from_device.value"),
    "update interval": ("{ value = 10e-6", "{ value = 3e-6", r"update_interval_s': found 3e-06 s; .*at least 3.223e-06 s"),
    "divider of the board": ("spi_divider = { value = 4", "spi_divider = { value = 1", r"spi_divider': found 1; .* 2 to 63"),
    "dead time below hold": (
        "dead_time_s = { value = 300e-6",
        "dead_time_s = { value = 5e-6",
        r"dead_time_s'.*hold_s \(2e-05",
    ),
    "maximum above full scale": (
        "max_t_per_m = { value = 9.5e-3",
        "max_t_per_m = { value = 11e-3",
        r"x.max_t_per_m': found 0.011",
    ),
    "rms above maximum": (
        "max_rms_t_per_m = { value = 5.0e-3",
        "max_rms_t_per_m = { value = 0.1",
        r"x.max_rms_t_per_m': found 0.1",
    ),
    "imaging sphere outside bore": ("imaging_diameter_m = { value = 0.20", "imaging_diameter_m = { value = 0.4", r"or less"),
    "oversampling": ("oversampling = { value = 4", "oversampling = { value = 4.5", r"oversampling.value': found 4.5"),
    "sensors": ('coil_name = "', 'sensors = 2\ncoil_name = "', r"receiver.sensors': found 2; allowed is 0 or 1"),
    "syntax": ("[rf]", "[rf", r"not valid TOML: .*line \d+"),
    "key twice": ("[magnet]", "[magnet]\nbore_m = 1", r"not valid TOML: .*line \d+"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused(case, text, load):
    old, new, message = WRONG[case]
    assert old in text
    with pytest.raises(ConfigError, match=re.compile(message, re.DOTALL)) as caught:
        load(text.replace(old, new, 1))
    assert "mine.toml" in caught.value.problem
    assert caught.value.remedy.endswith((".", "?"))


def test_the_line_named_is_the_line_of_the_key(text, load):
    with pytest.raises(ConfigError, match="line") as caught:
        load(text.replace("max_duty", "max_dutyy"))
    expected = 1 + [line.startswith("max_duty") for line in text.splitlines()].index(True)
    assert f"line {expected}," in caught.value.problem


def test_a_file_may_say_that_a_sensor_is_connected(text, load):
    assert load(text).receiver.n_sensors == 0
    assert load(text.replace('coil_name = "', 'sensors = 1\ncoil_name = "', 1)).receiver.n_sensors == 1


def test_the_gain_in_front_of_the_console_may_be_given(text, load):
    assert np.isnan(load(text).receiver.gain_db)
    gain = '[receiver]\ngain_db = { value = 43.5, evidence = "measured", source = "with a signal generator" }'
    assert load(text.replace("[receiver]", gain, 1)).receiver.gain_db == 43.5


@pytest.mark.parametrize("key", ["homogeneity_ppm", "coil_bandwidth_hz", "volts_per_unit"])
def test_what_may_be_unknown_is_nan(key, text, load):
    scanner = load(re.sub(rf"{key} = {{ value = [^,]+,", f"{key} = {{ value = nan,", text))
    owner = scanner.magnet if key == "homogeneity_ppm" else scanner.receiver
    assert np.isnan(getattr(owner, key))


def test_each_key_is_needed(text, load):
    """Leaving out any single line with a key is refused, and the message names that key; unknown is what may be unknown."""
    lines, table = text.splitlines(), ""
    for index, line in enumerate(lines):
        table = line if line.startswith("[") else table
        may_be_left_out = table == "[safety]" or table.endswith(".thermal]") or line.startswith("board_full_scale_a")
        if "=" in line and not line.startswith("#") and not may_be_left_out:
            with pytest.raises(ConfigError, match=rf"{line.split(' =')[0]}.*missing"):
                load("\n".join(lines[:index] + lines[index + 1 :]))


def test_not_utf8(load, text):
    with pytest.raises(ConfigError, match=r"not UTF-8 text: byte \d+ is 0xb2.*\n.*UTF-8"):
        load(text.encode("latin-1"))


def test_a_byte_order_mark_is_no_problem(load, text):
    assert load(b"\xef\xbb\xbf" + text.encode()).name == "mine"


def test_no_such_scanner_says_which_there_are():
    with pytest.raises(
        ConfigError, match=r"no scanner 'osi-one'.*\n.*Did you mean 'osii-one'\?.*osii-mini, osii-one, physio"
    ):
        load_scanner("osi-one")


def test_no_such_file(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load_scanner(tmp_path / "none.toml")


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(ConfigError, match="is not a file"):
        load_scanner(tmp_path)


def test_a_name_cannot_climb_out_of_the_folder():
    with pytest.raises(ConfigError, match="does not exist"):
        load_scanner("../../etc/nothing")


def test_a_huge_file_is_not_read(load):
    with pytest.raises(ConfigError, match="larger than 1 MB"):
        load("#" * 1_000_001)


def test_the_users_own_file_comes_first(text):
    folder = paths.user_dir("hardware_configs")
    folder.mkdir(parents=True)
    (folder / "osii-one.toml").write_text(text.replace("value = 2.0e6", "value = 2.1e6"), encoding="utf-8")
    (folder / "ours.toml").write_text(text, encoding="utf-8")
    assert load_scanner("osii-one").magnet.larmor_hz == 2.1e6
    assert list_scanners() == (*SHIPPED[:2], "ours", SHIPPED[2])


def test_the_documentation_shows_a_file_that_loads(load):
    page = Path(hardware.__file__).parents[3] / "docs" / "hardware-files.md"
    example = re.search(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    assert load(example[1]).gradients.board is GradientBoard.OCRA1


def test_the_direction_of_the_transmit_phase_is_the_designs_unless_the_file_says_otherwise(load, text):
    key = "segment_gap_s = "
    entry = 'tx_phase_sign = {{ value = {}, evidence = "measured", source = "loop-back at installation" }}\n'
    assert load(text).console.tx_phase_sign == 1
    mirrored = load(text.replace(key, entry.format(-1) + key))
    assert mirrored.console.tx_phase_sign == -1
    assert mirrored.origins["console.tx_phase_sign"].evidence is Evidence.MEASURED
    for wrong in ("0", "-2"):
        with pytest.raises(ConfigError, match=rf"console.tx_phase_sign': found {wrong}; allowed is 1 or -1"):
            load(text.replace(key, entry.format(wrong) + key))
