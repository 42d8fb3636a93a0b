"""minissd: the Single Shot MultiBox Detector from scratch on NumPy and CuPy arrays."""

from importlib import metadata

try:
    __version__ = metadata.version("minissd")
except metadata.PackageNotFoundError:  # the folder is on the path without having been installed
    __version__ = "not installed"
