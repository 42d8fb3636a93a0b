"""The command line: which commands there are, and how their errors are told.

Each command is a module in `minissd/commands/` with a docstring (its help), `add_arguments` and `run`. They are
imported when they are called, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from minissd.errors import USER_ERRORS, one_line

COMMANDS = {
    "demo": "train a small SSD on generated pictures and show what it sees (start here)",
    "train": "train a network on a data set",
    "convert": "turn weights that others trained into a file of this project",
    "ablate": "train variants of a network, each without one of its parts, and compare them",
    "evaluate": "measure the average precision of a trained network, or of result files",
    "detect": "find objects in your pictures",
    "export": "write a trained network as one ONNX file",
    "shapes": "generate the shapes data set",
    "check-dataset": "report what a data set holds and what is wrong with it",
    "subset": "write a part of a data set: some classes, few pictures",
    "pack": "write a data set with reduced pictures as one small file",
    "download": "fetch data sets and weights from their official addresses",
    "gradcheck": "compare every layer's gradient with a numeric one",
    "info": "show a network layer by layer, and its default boxes",
    "profile": "show where a network's time goes, layer by layer",
    "doctor": "show what this machine offers (for bug reports)",
}

DESCRIPTION = """\
SSD (Single Shot MultiBox Detector) from scratch on NumPy and CuPy arrays.

A first hour:
  python -m minissd demo                      trains on pictures it draws itself, about five minutes
  python -m minissd detect photo.jpg          the detector that comes along: people, cars, dogs, ...
  python -m minissd gradcheck                 every layer against numeric gradients
"""


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser; with the arguments of one command, or of none (the overview)."""
    parser = argparse.ArgumentParser(
        prog="minissd",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        if name != command:
            subparsers.add_parser(name, help=summary, add_help=False)
            continue
        module = _module(name)
        head, _, body = module.__doc__.partition("\n")
        sub = subparsers.add_parser(
            name,
            help=summary,
            description=f"{head}\n{body}",
            formatter_class=_HelpFormatter,
        )
        module.add_arguments(sub)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the description's lines, and names each argument's default where there is one to name."""

    def _get_help_string(self, action: argparse.Action) -> str:
        if action.default in (None, (), "", False, argparse.SUPPRESS):
            return action.help or ""
        return f"{action.help} (default: %(default)s)"


def _module(command: str) -> object:
    return importlib.import_module(f"minissd.commands.{command.replace('-', '_')}")


def _arithmetic(args: argparse.Namespace) -> AbstractContextManager:
    """Return the context that a command computes in: `--tf32` where it has that and it was given.

    `train` enters it itself, when each of its processes has taken its GPU.
    """
    if args.command == "train" or not getattr(args, "tf32", False):
        return nullcontext()
    from minissd.commands.common import arithmetic

    return arithmetic(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after the program's name; `sys.argv` where not given.

    Returns:
        Exit code: 0 done, 2 bad input (one line on stderr says which), 130 interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    command = argv[0] if argv and argv[0] in COMMANDS else None
    args = build_parser(command).parse_args(argv)
    try:
        with _arithmetic(args):
            return _module(args.command).run(args) or 0
    except KeyboardInterrupt:
        print("minissd: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has left: nothing to report
        return 0
    except USER_ERRORS as error:
        if args.debug:
            raise
        print(f"minissd {args.command}: error: {one_line(error)}", file=sys.stderr)
        return 2
