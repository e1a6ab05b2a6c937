# SPDX-License-Identifier: MIT
"""The MaRCoS console: instruction words, wire protocol, driver."""

from isocenter.devices.marcos.disassemble import disassemble
from isocenter.devices.marcos.driver import Deadlines, MarcosConsole
from isocenter.devices.marcos.encode import MarcosProgram, encode_segment

__all__ = ["Deadlines", "MarcosConsole", "MarcosProgram", "disassemble", "encode_segment"]
