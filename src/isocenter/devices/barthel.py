# SPDX-License-Identifier: MIT
"""The serial bridge to Barthel's gradient and RF amplifiers: one line, ASCII verbs, answers without a number.

Source
------
Verbs and answers: reference domain.md 1.3 and marge.md 1c (115200 baud, ``GPA_ON 1;``, success is ``>OK;``).
"""

import contextlib
import re
from typing import Final

from isocenter.devices.line import Line
from isocenter.domain.errors import DeviceFault, DeviceTimeout, ProtocolError

BAUD: Final = 115_200
ANSWER_S: Final = 0.3
_ANSWER: Final = re.compile(rb">([^<>;]*);")
_STARTING_S: Final = 1.3  # a bridge with an Arduino's boot loader starts anew when its port is opened
_QUIET_S: Final = 0.15
_LONGEST: Final = 512
_OFF: Final = (b"RFPA_RF 0;", b"GPA_ON 0;")


class BarthelBridge:
    """One line that two amplifiers share. Belongs to one thread.

    Answers carry no number, so that one that comes late would be taken for the answer to the next question. Therefore
    questions and answers are counted: a question is answered only when as many answers have come as questions were asked
    up to it. An answer that was lost makes all later questions time out, until ``open`` starts the count anew.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._asked = self._answered = 0
        self._answers: dict[int, str] = {}
        self._rest = b""
        self._is_in_step = False
        self._users: set[str] = set()
        self.n_opened = self.n_trips = 0
        self.said = ""

    @property
    def is_in_step(self) -> bool:
        """The line is open and every question so far was answered, properly."""
        return self._line.is_open and self._is_in_step

    def open(self, user: str) -> str:
        """Find a bridge at the end of the line unless all is in good order; returns what is known of it.

        Parameters
        ----------
        user
            Who needs the line from now on; it stays open until each has closed it.

        Raises
        ------
        ConnectError, DeviceTimeout, ProtocolError
            As for every device.
        """
        if not self.is_in_step:
            if not self._line.is_open:
                self._line.open()
            self.n_opened += 1
            try:
                self._find()
            except DeviceTimeout:
                self._line.close()  # a dead connection is not mended by asking on
                raise
        self._users.add(user)
        return "Barthel amplifier bridge (it does not tell its name)"

    def close(self, user: str) -> None:
        """Somebody needs the line no more."""
        self._users.discard(user)
        if not self._users:
            self._is_in_step = False
            self._line.close()

    def ask(self, verb: bytes, timeout_s: float, doing: str) -> None:
        """One verb; returns when the bridge has answered it with ``>OK;``.

        Raises
        ------
        DeviceFault
            It refused.
        DeviceTimeout, ProtocolError, ConnectError
            No answer, or none that can be understood.
        """
        self._take(self._line.drain())
        (number,) = self._send(verb)
        self._confirm(number, timeout_s, doing)

    def trip(self, timeout_s: float) -> dict[str, str]:
        """Both amplifiers off, in one message, RF first; sent again when it is not answered with ``>OK;``.

        Parameters
        ----------
        timeout_s
            For each of the two attempts [s].

        Returns
        -------
            What was answered about ``RFPA`` and ``GPA``; empty text for nothing that could be told apart.
        """
        self.n_trips += 1
        if not self._line.is_open:
            self._line.open()
            self._forget()
            self.n_opened += 1
        first = self._send(*_OFF)[0]
        verdict = self._answers_since(first, 2, timeout_s)
        if verdict == ["OK", "OK"]:
            self._is_in_step = self._answered == self._asked
            return {"RFPA": "OK", "GPA": "OK"}
        self._send(*_OFF)
        if len(verdict) == 2:
            verdict = self._answers_since(first + 2, 2, timeout_s)
            if len(verdict) == 2:
                self._is_in_step = self._answered == self._asked
                return dict(zip(("RFPA", "GPA"), verdict, strict=True))
        # An answer was lost, and it is not known which. Three good ones of four: at least one came from either amplifier.
        elif self._answers_since(first, 3, timeout_s)[:3] == ["OK"] * 3:
            return {"RFPA": "OK", "GPA": "OK"}
        return {"RFPA": "", "GPA": ""}

    def judge(self, answer: str, doing: str) -> None:
        """Return when an answer is ``>OK;``. Raises DeviceFault or ProtocolError when it is not."""
        if answer == "OK":
            return
        if answer.startswith("ERR"):
            raise DeviceFault(
                f"The amplifier bridge refused to {doing}: it answered '>{answer};'.",
                "Look at the amplifier's front panel: a red light, an open interlock or local control keeps it from "
                "switching. Clear it, press Reset on the Scanner screen, then try again.",
            )
        self._is_in_step = False
        raise ProtocolError(
            f"The amplifier bridge answered '>{answer};', which means nothing.",
            f"Check the cable and the baud rate ({BAUD}), then connect again.",
        )

    def _confirm(self, number: int, timeout_s: float, doing: str) -> None:
        self._is_in_step = False
        answer = self._await(number, timeout_s, doing)
        self._is_in_step = self._answered == self._asked
        self.judge(answer, doing)

    def _answers_since(self, first: int, wanted: int, timeout_s: float) -> list[str]:
        """Answers to verbs from ``first`` on; fewer than wanted when no more came in time."""
        with contextlib.suppress(DeviceTimeout):
            self._wait_until(first + wanted, timeout_s, "switch the amplifiers off")
        return [self._answers[number] for number in range(first, self._answered)]

    def _find(self) -> None:
        """Ask until it answers, then wait until it has answered everything."""
        left = max(1, round(_STARTING_S / ANSWER_S))
        while True:
            self._forget()
            (number,) = self._send(b"GPA_VERB 1;")
            left -= 1
            try:
                self._confirm(number, ANSWER_S, "answer")
                break
            except DeviceTimeout:
                if not left:
                    raise
        try:
            self._line.read(lambda _: False, _QUIET_S, "be quiet")
        except DeviceTimeout:
            self._forget()  # what it had to say to earlier questions has come

    def _forget(self) -> None:
        self._asked = self._answered = 0
        self._answers.clear()
        self._rest = b""

    def _send(self, *verbs: bytes) -> range:
        first, self._asked = self._asked, self._asked + len(verbs)
        self._is_in_step = False
        self._line.write(b"".join(verbs))
        return range(first, self._asked)

    def _await(self, number: int, timeout_s: float, doing: str) -> str:
        self._wait_until(number + 1, timeout_s, doing)
        return self._answers[number]

    def _wait_until(self, n_answers: int, timeout_s: float, doing: str) -> None:
        missing, rest = n_answers - self._answered, self._rest
        if missing > 0:
            try:
                came = self._line.read(lambda got: len(_ANSWER.findall(rest + got)) >= missing, timeout_s, doing)
            except DeviceTimeout as error:
                self._take(error.partial or b"")
                raise
            self._take(came)

    def _take(self, came: bytes) -> None:
        self._rest += came
        end = 0
        for found in _ANSWER.finditer(self._rest):
            end = found.end()
            self.said = found[0].decode("ascii", "replace")
            if self._answered < self._asked:  # more than was asked is chatter
                self._answers[self._answered] = found[1].decode("ascii", "replace")
                self._answered += 1
        self._rest = self._rest[end:][-_LONGEST:]
        for number in [number for number in self._answers if number < self._answered - 8]:
            del self._answers[number]
