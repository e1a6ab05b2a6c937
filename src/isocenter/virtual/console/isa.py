# SPDX-License-Identifier: MIT
"""Numbers of the marga core and of marcos_server 1.0.5. Source: reference marcos.md 2 to 7."""

from typing import Final

CLOCK_HZ: Final = 122.88e6
SERVER_VERSION: Final = 0x010005

N_BUFFERS: Final = 24
GRAD_CTRL, GRAD_LSB, GRAD_MSB = 0, 1, 2
RX0_RATE, RX1_RATE = 3, 4
TX0_I, TX0_Q, TX1_I, TX1_Q = 5, 6, 7, 8
LO0_LSB, LO0_MSB, LO1_LSB, LO1_MSB, LO2_LSB, LO2_MSB = 9, 10, 11, 12, 13, 14
GATES_LEDS, RX_CTRL = 15, 16

OP_FINISH, OP_WAIT, OP_TRIG, OP_TRIG_FOREVER = 1, 2, 3, 4

IDLE, PREPARE, RUN, COUNTDOWN, TRIG, TRIG_FOREVER, HALT = 0, 1, 2, 3, 4, 5, 8

MEMORY_WORDS: Final = 65536
MEMORY_BYTES: Final = 4 * MEMORY_WORDS
FIFO_SAMPLES: Final = 16384
FIFO_NEARLY_FULL: Final = 10922
FIFO_FULL: Final = 14336
MAX_FINAL_POPS: Final = 10_000
"""The read-out at the end of a run stops after 100 rounds of about 100 pops; the rest stays in the FIFO."""

MAX_REQUEST_BYTES: Final = 32 * 1024 * 1024
MAX_REQUEST_NODES: Final = 8192
