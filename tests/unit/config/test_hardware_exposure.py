# SPDX-License-Identifier: MIT
"""What a hardware file says about exposure: what is left out is unknown, what is wrong is refused."""

import math

import pytest

from isocenter.config import paths
from isocenter.config.hardware import load_scanner
from isocenter.domain.errors import ConfigError
from isocenter.domain.limits import GradientThermal, NerveModel, PatientSafety


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.setattr(paths.platformdirs, "user_config_dir", lambda *args, **kwargs: str(tmp_path / "user"))
    text = (paths.shipped_dir("hardware_configs") / "physio-72mT.toml").read_text(encoding="utf-8")

    def load(before="", safety="", with_safety=True):
        head, tail = text.split("[safety]")
        head = head.replace("[gradients.y]", f"{before}\n[gradients.y]")
        path = tmp_path / "mine.toml"
        path.write_text(head + (f"[safety]{tail}{safety}" if with_safety else ""), encoding="utf-8")
        return load_scanner(path)

    return load


def quantity(**values):
    rows = [
        f'{key} = {{ value = {value}, evidence = "measured", source = "test bench" }}\n' for key, value in values.items()
    ]
    return "".join(rows)


NERVE = {
    "tau1_s": 2e-4,
    "tau2_s": 3e-5,
    "tau3_s": 3e-3,
    "a1": 0.4,
    "a2": 0.1,
    "a3": 0.5,
    "stimulation_limit_t_per_m_s": 30.0,
    "g_scale": 0.35,
}


@pytest.mark.parametrize("name", ["osii-mini", "osii-one", "physio-72mT"])
def test_each_shipped_scanner_bounds_what_a_patient_takes_up(name):
    safety = load_scanner(name).safety
    assert safety.forward_power_w > 0
    assert safety.absorbed_share == 1.0


def test_a_file_without_these_tables_knows_nothing(load):
    scanner = load(with_safety=False)
    assert math.isnan(scanner.safety.forward_power_w)
    assert scanner.safety.absorbed_share == PatientSafety().absorbed_share
    assert scanner.gradients.axes[0].thermal is None
    assert scanner.gradients.axes[0].nerve is None


def test_what_is_there_is_read_and_carries_its_origin(load):
    thermal = {"a_per_t_per_m": 100.0, "max_a": 9.4, "rise_k_per_w": 2.0, "time_constant_s": 300.0, "max_rise_k": 30.0}
    tables = f"[gradients.x.thermal]\n{quantity(**thermal)}[gradients.x.nerve]\n{quantity(**NERVE)}"
    scanner = load(tables, quantity(max_b1_rms_t=2.8e-6, nerve_radius_m=0.09))
    axis = scanner.gradients.axes[0]
    assert axis.thermal is not None
    assert {key: getattr(axis.thermal, key) for key in thermal} == thermal
    assert math.isnan(axis.thermal.supply_v)
    assert axis.nerve == NerveModel(**NERVE)
    assert scanner.safety.max_b1_rms_t == 2.8e-6
    assert scanner.origins["gradients.x.nerve.tau1_s"].source == "test bench"
    assert scanner.origins["safety.nerve_radius_m"].source == "test bench"
    assert isinstance(axis.thermal, GradientThermal)


@pytest.mark.parametrize(
    ("before", "safety", "words"),
    [
        ("", quantity(max_b1_rms_t=2.8), r"safety.max_b1_rms_t.*found 2.8; allowed is 1e-08 to 0.001 T"),
        ("[gradients.x.thermal]\n" + quantity(max_a=-3.0), "", r"gradients.x.thermal.max_a.*found -3"),
        ("[gradients.x.thermal]\n" + quantity(max_amps=3.0), "", r"gradients.x.thermal.max_amps.*no such key"),
        ("[gradients.x.nerve]\n" + quantity(**{**NERVE, "a1": 0.2}), "", r"nerve.a1'.*found .* 0.8 together; allowed is 1"),
        ("[gradients.x.nerve]\n" + quantity(tau1_s=1e-3), "", r"gradients.x.nerve.tau2_s"),
    ],
)
def test_a_wrong_number_is_refused_with_its_key(load, before, safety, words):
    with pytest.raises(ConfigError, match=words):
        load(before, safety)
