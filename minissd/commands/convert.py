"""Turn weights that others trained into a file of this project.

Reads safetensors, PyTorch's .pth (without PyTorch, and without running anything that stands in the
file) and Caffe's .caffemodel (without Caffe). Format and naming are told from the content:

  torchvision   ssd300_vgg16 (COCO), vgg16, mobilenet_v2
  timm          vgg16
  ssd.pytorch   ssd300_mAP_77.43_v2, vgg16_reducedfc
  Caffe         the authors' SSD300 and SSD512, VGG_ILSVRC_16_layers (also fc_reduced)

A detector becomes a model that detect, evaluate and export take. A body trained on ImageNet becomes
a start for a training; name the --model that is to be trained. A checkpoint of a training becomes a
model without the state of its optimiser, at half the size with --half.

  python -m minissd convert VGG_VOC0712_SSD_300x300_iter_120000.caffemodel --out ssd300.safetensors
  python -m minissd convert ssd300_vgg16_coco-b556d3b4.pth --out coco.safetensors --half
  python -m minissd convert mine.pth --model ssd300 --classes cat,dog --out mine.safetensors
  python -m minissd convert vgg16-397923af.pth --model ssd300 --out vgg16.safetensors
  python -m minissd convert runs/demo --out demo.safetensors --half
  python -m minissd detect photo.jpg --weights coco.safetensors
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What, into what."""
    from minissd.commands.common import class_list

    parser.add_argument("file", help="file of weights, or a run folder of this project")
    parser.add_argument("--out", required=True, metavar="FILE", help="file to write (.safetensors)")
    parser.add_argument(
        "--model", help="ssd300, ssd512-coco, ... (default: the one that fits the file)"
    )
    parser.add_argument(
        "--classes",
        type=class_list,
        help="names of the object classes in label order: a list with commas, or a file with one a line "
        "(default: those of VOC or COCO, by their number)",
    )
    parser.add_argument("--half", action="store_true", help="store weights in half precision")


def run(args: argparse.Namespace) -> None:
    """Convert, and say what was found and done."""
    from minissd.errors import InputError
    from minissd.models.weights import read_weights
    from minissd.models.weights.own import own_format
    from minissd.models.weights.recognise import recognise

    path, out = Path(args.file), Path(args.out)
    if out.suffix.lower() != ".safetensors":
        raise InputError(f"{out}: the file written is a .safetensors file; name it so")
    if out.exists() and path.exists() and out.samefile(path):
        raise InputError(f"{out}: is the file to be converted; name another --out")
    dtype = np.float16 if args.half else None
    file = None if path.is_dir() else read_weights(path)
    convert = _own
    if file is not None and not own_format(file):
        convert = _start if recognise(file).heads is None else _detector
    print(convert(path, out, args, dtype))
    print(f"-> {out}, {out.stat().st_size / 1e6:,.1f} MB")


def _detector(path: Path, out: Path, args: argparse.Namespace, dtype: type | None) -> str:
    from minissd.models.model_file import save_model
    from minissd.models.weights import load_detector

    model, names, report = load_detector(path, args.model, args.classes)
    save_model(out, model, names, _source(path, report.naming), dtype)
    spec = model.spec
    return (
        f"{report.text()}\n  model     {spec.name}, {len(names)} classes ({names[0]} to {names[-1]}), "
        f"{spec.n_default_boxes:,} default boxes on {spec.image_size} x {spec.image_size} pixels"
    )


def _start(path: Path, out: Path, args: argparse.Namespace, dtype: type | None) -> str:
    from minissd.errors import InputError
    from minissd.models.blank import build_blank
    from minissd.models.build import model_spec
    from minissd.models.model_file import save_start
    from minissd.models.weights import load_body

    if args.model is None:
        raise InputError(f"{path}: a body without heads; name the --model that is to start from it")
    if args.classes is not None:
        raise InputError(f"{path}: a body without heads has no classes; leave --classes out")
    model = build_blank(model_spec(args.model))
    report = load_body(model, path)
    save_start(out, model, report.filled, _source(path, report.naming), dtype)
    return f"{report.text()}\n  a start for a training of {args.model}"


def _own(path: Path, out: Path, args: argparse.Namespace, dtype: type | None) -> str:
    from minissd.commands.common import open_detector
    from minissd.errors import InputError
    from minissd.models.model_file import save_model

    if args.model is not None or args.classes is not None:
        raise InputError(
            f"{path}: says its model and classes itself; leave --model and --classes out"
        )
    detector, checkpoint = open_detector(path, "cpu")
    what = "a model" if checkpoint is None else f"a checkpoint after {checkpoint.step:,} steps"
    source = f"{path.name}, {what} of minissd"
    save_model(out, detector.model, detector.class_names, source, dtype)
    return f"{path}: {what} of minissd, {len(detector.class_names)} classes"


def _source(path: Path, naming: str) -> str:
    """Say where weights came from, so that it can be checked later."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{path.name}, {naming}, sha256 {digest}"
