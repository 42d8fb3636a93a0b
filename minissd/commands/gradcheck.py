"""Compare every layer's gradient with a numeric one.

For each layer and loss, in several awkward shapes: nudge one number of an input or a parameter up and
down, see how the output changes, and compare with what `backward` says. All in float64, with a random
upstream gradient. A relative error near 1e-8 is as good as it gets; a wrong backward pass shows errors
near 1.

  python -m minissd gradcheck
  python -m minissd gradcheck --layer Conv2d --seed 7
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Seed and filter."""
    parser.add_argument("--seed", type=int, default=0, help="of the random inputs")
    parser.add_argument("--layer", default="", help="check only layers whose name contains this")


def run(args: argparse.Namespace) -> int:
    """Print the table; exit code 1 if a gradient is wrong."""
    from minissd.errors import InputError, check_positive_int
    from minissd.nn.gradcheck import format_table
    from minissd.nn.gradcheck_cases import run_all

    check_positive_int(args.seed, "--seed", 0)
    reports = run_all(args.seed, args.layer)
    if not reports:
        raise InputError(f"--layer: no layer's name contains {args.layer!r}")
    print(format_table(reports))
    return 0 if all(report.passed for report in reports) else 1
