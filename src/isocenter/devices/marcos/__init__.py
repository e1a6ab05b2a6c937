# SPDX-License-Identifier: MIT
"""The MaRCoS console: instruction words, wire protocol, driver."""

from isocenter.devices.marcos.driver import Deadlines, MarcosConsole

__all__ = ["Deadlines", "MarcosConsole"]
