# SPDX-License-Identifier: MIT
"""The command as a user runs it: in this process where only words are judged, as a process where signals are."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from isocenter.cli.main import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    def refused(self, code: int = 1) -> str:
        """What was said, after checking that it was said as it should be: one problem, one remedy, no traceback."""
        assert self.code == code, self
        assert self.out == ""
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if not line.startswith("  ")]
        assert len(lines) == 2, self.err
        assert lines[0].startswith("Problem: ")
        assert lines[1].startswith("What to do: ")
        assert all(line.endswith(".") for line in lines)
        return self.err


@pytest.fixture
def isocenter(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["isocenter", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return Outcome(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def command() -> list[str]:
    """What starts the program in a process of its own."""
    return [sys.executable, "-c", "from isocenter.cli.main import main; main()"]
