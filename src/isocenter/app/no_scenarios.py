# SPDX-License-Identifier: MIT
"""The part of the service about scenarios, for a scanner that does not belong to this program."""

from concurrent.futures import Future

from isocenter.app.service import ScenarioEntry
from isocenter.domain.errors import WrongState


class NoScenarios:
    """There are none."""

    @property
    def has_scenarios(self) -> bool:
        """False: whoever gave the session owns its scanner."""
        return False

    def scenarios(self) -> "Future[tuple[ScenarioEntry, ...]]":
        """None."""
        nothing: Future[tuple[ScenarioEntry, ...]] = Future()
        nothing.set_result(())
        return nothing

    def choose_scenario(self, name: str, *, is_exercise: bool = False) -> "Future[None]":  # noqa: ARG002  see VirtualService
        """Refused."""
        raise WrongState(
            f"This scanner is not a virtual scanner of this program: it has no scenario '{name}'.",
            "Start the program with ISOCENTER_CONSOLE=virtual to train.",
        )
