# SPDX-License-Identifier: MIT
"""The truth about the virtual scanner, and the log by which tests judge how fast it became safe."""

import threading
import time

import pytest

from isocenter.virtual.peripherals.plant import Plant, PlantState


def test_a_scanner_without_virtual_boxes_transmits():
    state = Plant().state
    assert (state.can_transmit, state.can_drive_gradients, state.is_safe) == (True, True, False)


@pytest.mark.parametrize("relay", ["interlock_blanks_rf", "sar_monitor_blanks_rf"])
def test_either_relay_blanks(relay):
    assert not PlantState(**{relay: True}).can_transmit


def test_safe_needs_both_rf_and_gradients():
    off = {"rf_amplifier_on": False, "gradients_zero": False}
    assert not PlantState(**off).is_safe
    assert PlantState(**off, gradient_amplifier_on=False).is_safe
    assert PlantState(**off, interlock_parks_gradients=True).is_safe
    assert PlantState(rf_amplifier_on=False, gradients_zero=True).is_safe
    assert not PlantState(gradient_amplifier_on=False).is_safe  # RF still can


def test_only_what_changes_is_logged_with_who_and_when():
    plant, start_s = Plant(), time.monotonic()
    plant.change("test", door_open=False)
    plant.change("test", door_open=True, room_c=22.0)
    (change,) = plant.log(start_s)
    assert (change.by, change.names) == ("test", ("door_open",))
    assert change.state.door_open
    assert start_s <= change.at_s <= time.monotonic()


def test_a_name_that_does_not_exist_is_a_mistake():
    with pytest.raises(AttributeError, match="dor_open"):
        Plant().change("test", dor_open=True)


def test_first_tells_when_something_held_also_if_it_held_before():
    plant = Plant()
    plant.change("test", door_open=True)
    opened_s = plant.log()[-1].at_s
    assert plant.first(lambda s: s.door_open) == opened_s
    later_s = time.monotonic()
    assert plant.first(lambda s: s.door_open, later_s) == later_s
    assert plant.first(lambda s: not s.door_open, later_s) is None
    plant.change("test", door_open=False)
    assert plant.first(lambda s: not s.door_open, later_s) == plant.log()[-1].at_s
    assert plant.first(lambda s: s.emergency_stop) is None


def test_waiting_sees_also_what_has_passed_again():
    plant, start_s = Plant(), time.monotonic()

    def flicker():
        plant.change("other", emergency_stop=True)
        plant.change("other", emergency_stop=False)

    thread = threading.Thread(target=flicker)
    thread.start()
    at_s = plant.wait_for(lambda s: s.emergency_stop, 2.0, start_s)
    thread.join()
    assert start_s <= at_s <= time.monotonic()


def test_waiting_ends_and_shows_the_truth():
    with pytest.raises(TimeoutError, match=r"not within 0.01 s.*on_battery=False"):
        Plant().wait_for(lambda s: s.on_battery, 0.01)


def test_the_log_does_not_grow_for_ever():
    plant = Plant()
    for n in range(25_000):
        plant.change("weather", room_c=20 + n * 1e-4)
    assert len(plant.log()) == 20_000
