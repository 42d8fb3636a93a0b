"""Show where a network's time goes, layer by layer: milliseconds, GFLOP/s and share.

Pictures are noise, so nothing is needed but the network. Times are medians; other programs that run
meanwhile disturb them. MINISSD_THREADS sets the threads, MINISSD_WINOGRAD=0 turns Winograd off.

  python -m minissd profile
  python -m minissd profile ssd300 --top 15
  python -m minissd profile ssd-mobilenetv2 --training --images 32 --plot profile.png
  python -m minissd profile --weights runs/demo
"""

from __future__ import annotations

import argparse
import platform

import numpy as np

from minissd.commands.common import add_device
from minissd.commands.info import add_network, open_network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which network, and how it is timed."""
    add_network(parser)
    parser.add_argument("--images", type=int, default=1, help="pictures of a round")
    parser.add_argument("--rounds", type=int, default=5, help="after one that does not count")
    parser.add_argument(
        "--training", action="store_true", help="a whole training step instead of the way forward"
    )
    parser.add_argument("--top", type=int, help="show only so many layers, the slowest first")
    parser.add_argument("--plot", help="draw the bars into this file (.png, .svg, .pdf)")
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Time and print."""
    from minissd.backend import resolve_device
    from minissd.errors import check_positive_int
    from minissd.machine import keep_freed_memory
    from minissd.models.profile import profile
    from minissd.models.profile_table import profile_table
    from minissd.parallel import thread_count

    for name in ("images", "rounds", "top"):
        if getattr(args, name) is not None:
            check_positive_int(getattr(args, name), f"--{name}")
    device = resolve_device(args.device)
    model, title = open_network(args)
    keep_freed_memory()
    times = profile(model.to(device), args.images, args.rounds, args.training)
    what = "a training step" if args.training else "forward"
    place = "GPU" if device == "gpu" else f"CPU, {thread_count()} threads"
    heading = f"{title}: {what} of {args.images} on the {place}"
    numbers = "float32, products in TF32" if args.tf32 else "float32"
    print(f"{heading}, {numbers}; NumPy {np.__version__}, {platform.machine()}\n")
    print(profile_table(times, args.top))
    if args.plot:
        from minissd.plotting import save_figure
        from minissd.plotting.profile_figures import profile_figure

        bars = [
            (layer.row.name, layer.forward_seconds, layer.backward_seconds, layer.algorithm)
            for layer in times.layers
            if layer.seconds >= SHOWN * times.seconds
        ]
        save_figure(profile_figure(bars, heading), args.plot)
        print(f"\nLayers from {SHOWN:.1%} of the whole on: {args.plot}")


SHOWN = 0.002  # of the whole: a thinner bar cannot be seen
