# SPDX-License-Identifier: MIT
"""What is wrong in a scenario, in plain sentences for somebody who trains."""

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, Final

from isocenter.app.scenario_faults import faults
from isocenter.domain.scenario import Scenario
from isocenter.domain.units import signed

_COIL_SOURCES: Final = {"tone": "a tone", "mains-comb": "a comb of mains lines", "broadband": "broadband noise"}


def _axes(values: Any, scale: float, unit: str) -> str:
    return (
        " · ".join(f"{name} {signed(value * scale, 3, significant=True)}" for name, value in zip("xyz", values, strict=True))
        + f" {unit}"
    )


def _harmonics(terms: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {signed(value)} Hz" for name, value in terms.items())


def _eddy(terms: Any) -> str:
    return ", ".join(
        f"{signed(term['share'] * 100, 3, significant=True)} % on {term['channel']}"
        f"{' (whole field)' if term['is_b0'] else ''} for {term['time_constant_s'] * 1e3:.3g} ms"
        for term in terms
    )


def _sources(sources: Any) -> str:
    return ", ".join(_source(source) for source in sources)


def _source(source: Any) -> str:
    name = _COIL_SOURCES[source["kind"]]
    return name if source["kind"] == "broadband" else f"{name} at {signed(source['frequency_hz'])} Hz"


def _steps(steps: Any) -> str:
    return ", ".join(f"after {step['start_s']:.3g} s" for step in steps)


def _events(events: Any) -> str:
    return ", ".join(
        f"{event['kind'].replace('-', ' ')}{' of the ' + event['role'].replace('_', ' ') if event['role'] else ''} after "
        f"{event['start_s']:.3g} s"
        for event in events
    )


_WORDS: Final[dict[str, Callable[[Any], str]]] = {
    "magnet.frequency_offset_hz": lambda value: f"The frequency is {signed(value)} Hz away from the hardware file's.",
    "magnet.spread_hz": lambda value: f"The field is uneven: {value:.0f} Hz from edge to edge.",
    "magnet.harmonics_hz": lambda value: f"The field has the terms {_harmonics(value)}.",
    "magnet.table": lambda value: f"The field is the one of the table {PurePath(value).name}.",
    "magnet.temperature_c": lambda value: f"The magnet begins at {value:.3g} °C.",
    "magnet.drift_c_per_s": lambda value: (
        f"Its temperature changes by {signed(value * 60, 2, significant=True)} °C each minute."
    ),
    "magnet.drift_settling_s": lambda value: f"That change dies out within about {value:.0f} s.",
    "magnet.jump_c": lambda value: f"Its temperature jumps by {signed(value, 3, significant=True)} °C.",
    "magnet.jump_s": lambda value: f"That jump comes after {value:.0f} s.",
    "magnet.has_concomitant": lambda _: "The gradients bring along transverse (concomitant) fields.",
    "magnet.field_axis": lambda value: f"The main field points along {value}.",
    "gradients.delay_s": lambda value: f"The gradients come late: {_axes(value, 1e6, 'µs')}.",
    "gradients.scale": lambda value: f"The gradients have the wrong strength: {_axes([v - 1 for v in value], 100, '%')}.",
    "gradients.nonlinearity": lambda value: f"The gradients weaken towards the edge: {_axes(value, 100, '%')}.",
    "gradients.eddy": lambda value: f"Eddy currents follow the gradients: {_eddy(value)}.",
    "gradients.ripple_t_per_m": lambda value: f"The gradients ripple: {_axes(value, 1e6, 'µT/m')}.",
    "gradients.ripple_hz": lambda value: f"They ripple at {value:.0f} Hz.",
    "coil.b1_fall_db": lambda value: f"The coil is {value:.2g} dB weaker at the edge.",
    "coil.transmit_scale": lambda value: f"Pulses have {value * 100:.0f} % of their strength.",
    "coil.compression": lambda value: f"The RF amplifier loses {value * 100:.0f} % at full power.",
    "coil.ring_down_s": lambda value: f"The coil rings after each pulse and dies out with {value * 1e6:.0f} µs.",
    "coil.ring_down_level": lambda value: f"The receiver hears the ringing at {value:.2g} of full scale.",
    "coil.is_disconnected": lambda _: "The cable of the receive coil is broken.",
    "coil.n_receive": lambda value: f"There are {value} receive coils.",
    "receiver.noise": lambda value: f"The noise is {value:.2g} times that of a good head coil.",
    "receiver.gain_db": lambda value: f"The receiver's gain is off by {signed(value)} dB.",
    "receiver.adc_bits": lambda value: f"The receiver's converter has {value} bits and clips at its end.",
    "receiver.dropouts_hz": lambda value: f"About {value:.2g} readouts each second are lost.",
    "receiver.sensor_leak": lambda value: f"The sensors hear {value * 100:.2g} % of the coil's signal.",
    "motion.steps": lambda value: f"The patient moves {_steps(value)}.",
    "motion.breathing_lps_m": lambda value: f"Breathing moves the patient by {max(map(abs, value)) * 1e3:.2g} mm.",
    "motion.breathing_period_s": lambda value: f"A breath takes {value:.2g} s.",
    "motion.restless_hz": lambda value: f"The patient is restless: a small move every {1 / value:.0f} s.",
    "motion.restless_m": lambda value: f"Those moves are {value * 1e3:.2g} mm.",
    "devices.is_connected": lambda _: "Amplifiers, interlock and all other boxes are connected and watched.",
    "devices.coil_load_share": lambda value: f"The coil is out of tune by {signed(value * 100, 2, significant=True)} %.",
    "devices.board_gain": lambda value: (
        f"The gradient board gives other currents: {_axes([v - 1 for v in value], 100, '%')}."
    ),
    "devices.board_offset": lambda value: f"At zero the gradient board still gives {_axes(value, 100, '%')} of full scale.",
    "devices.events": lambda value: f"Something happens during the scan: {_events(value)}.",
    "interference": lambda value: f"Interference from outside: {_sources(value)}.",
    "n_sensors": lambda value: f"Sensors hear the interference alone: {value}.",
    "has_diffusion": lambda _: "Spins wander by diffusion.",
}

ORDINARY: Final = frozenset(
    {
        *("magnet.frequency_offset_hz", "magnet.spread_hz", "magnet.field_axis", "coil.b1_fall_db", "coil.n_receive"),
        *("receiver.noise", "n_sensors", "has_diffusion", "devices.is_connected"),
    }
)
"""What every real scanner has; a scenario with nothing else is a good day."""


def fault_sentences(scenario: Scenario) -> tuple[str, ...]:
    """Everything that is not perfect, a sentence each; what is out of the ordinary comes first."""
    found = faults(scenario)
    keys = sorted(found, key=lambda key: key in ORDINARY)
    return tuple(_WORDS[key](found[key]) if key in _WORDS else f"{key}: {found[key]}." for key in keys)


def is_good_day(scenario: Scenario) -> bool:
    """True when nothing is wrong with it that a good scanner would not have."""
    return set(faults(scenario)) <= ORDINARY
