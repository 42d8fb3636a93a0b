"""Show what this machine offers.

Versions, the BLAS library and its threads, the processors and memory that this program may use, and
the device that `--device auto` chooses. Nothing personal is in it: paste it into a bug report.
"""

from __future__ import annotations

import argparse

from minissd.system import format_report, system_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(args: argparse.Namespace) -> None:
    """Print the report."""
    print(format_report(system_report()))
