# SPDX-License-Identifier: MIT
"""The ``isocenter`` command. Each subcommand imports what it needs when it runs, so that help appears at once."""

import importlib
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, Final

import click

from isocenter import __version__
from isocenter.domain.errors import ConsoleError, ScanAborted

_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("isocenter.cli.demo", "Scan a head on the virtual scanner, from prescan to DICOM."),
    "doctor": ("isocenter.cli.doctor", "Check this computer, the hardware file and the console."),
    "scan": ("isocenter.cli.scan", "Run one sequence and write everything to a folder."),
    "compile": ("isocenter.cli.compile", "Turn a sequence into the console's words, without playing it."),
    "reconstruct": ("isocenter.cli.reconstruct", "Make images from raw data, ours or somebody else's."),
    "calibrate": ("isocenter.cli.calibrate", "Measure the scanner itself with a phantom, or list what is kept."),
    "gradients": ("isocenter.cli.gradients", "Measure how the gradients bend, from a scan of a lattice phantom."),
    "export": ("isocenter.cli.export", "Write DICOM or NIfTI files of a finished scan."),
    "virtual-scanner": ("isocenter.cli.virtual_scanner", "Serve a virtual scanner on a network port."),
    "scenarios": ("isocenter.cli.scenarios", "List what the virtual scanner can be, and what is wrong with it."),
    "sequences": ("isocenter.cli.sequences", "List the sequences and explain their parameters."),
}
EXIT_PROBLEM: Final = 1
EXIT_MISTYPED: Final = 2
EXIT_STOPPED: Final = 130


class LazyCommands(click.Group):
    """A group whose commands are imported when they are called, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names in the order in which a newcomer meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command's module."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name][0]).command
        # click keeps the lines of a paragraph that begins with a backspace; raw docstrings hold it as two characters.
        command.help = (command.help or "").replace("\\b\n", "\b\n")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run, and turn deliberate errors into two plain sentences and an exit code."""
        try:
            return super().invoke(ctx)
        except ScanAborted as stopped:
            click.echo(f"\n{stopped}", err=True)
            ctx.exit(EXIT_STOPPED)
        except ConsoleError as error:
            _tell(error.problem, error.remedy)
            ctx.exit(EXIT_PROBLEM)
        except (KeyboardInterrupt, click.Abort):
            click.echo("\nStopped.", err=True)
            ctx.exit(EXIT_STOPPED)


@click.group(
    cls=LazyCommands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=(
        "Start with `isocenter demo`: it needs no hardware. Every command explains itself with --help. "
        "Exit codes: 0 done, 1 a problem (the screen says what it is and what to do), 2 mistyped, 130 stopped."
    ),
)
@click.version_option(__version__, prog_name="isocenter")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Control console for low-field MRI scanners built from open hardware.

    Without a command, the window opens.
    """
    if ctx.invoked_subcommand is None:
        # The command line and the window are siblings: neither imports the other, so the window is found by name.
        window = importlib.import_module("isocenter.ui.main")
        sys.exit(window.main())


def main() -> None:
    """Entry point of the ``isocenter`` command."""
    try:
        code = cli.main(prog_name="isocenter", standalone_mode=False)
    except click.Abort:
        code = EXIT_STOPPED
        click.echo("\nStopped.", err=True)
    except click.UsageError as error:
        code = EXIT_MISTYPED
        path = error.ctx.command_path if error.ctx else "isocenter"
        _tell(error.format_message(), f"Type `{path} --help` to see what it takes.")
    except ImportError as error:
        code = EXIT_PROBLEM
        _tell(
            f"A library that Isocenter needs cannot be loaded ({error}).",
            "Run `make clean setup`, or install Isocenter again; `isocenter doctor` names what is missing.",
        )
    except Exception as error:  # noqa: BLE001  the job boundary: whatever a user's sequence or a bug raised
        code = EXIT_PROBLEM
        _tell(
            f"Isocenter made a mistake of its own, {type(error).__name__}: {error}.",
            f"Try again with other input; send {_report()} to the maintainers. What was measured is kept.",
        )
    sys.exit(code if isinstance(code, int) else 0)


def _tell(problem: str, remedy: str) -> None:
    click.echo(f"Problem: {problem}\nWhat to do: {remedy}", err=True)


def _report() -> str:
    """Write the traceback being handled to a file and return its path."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="isocenter-", suffix=".log", delete=False, encoding="utf-8") as file:
            file.write(f"isocenter {__version__} {sys.version}\n{' '.join(sys.argv)}\n\n{traceback.format_exc()}")
    except OSError:
        return "this text"
    return str(Path(file.name))
