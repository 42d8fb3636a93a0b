"""What can be downloaded, from where, and how what arrives is known to be the right thing: facts, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from minissd.datasets.voc import VOC_COUNTS


@dataclass(frozen=True)
class RemoteFile:
    """A file at an official address.

    Attributes:
        url: The address.
        n_bytes: Its size; checked where `exact`, otherwise only told.
        sha256: Its checksum in hexadecimal digits: all 64, or the first eight where its publisher gives no more (they
            stand in the names of torchvision's files), or none.
        exact: Whether the size is known to the byte.
        unpacked: Bytes of what is in it; 0 for about its own size.
    """

    url: str
    n_bytes: int
    sha256: str = ""
    exact: bool = True
    unpacked: int = 0

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True)
class Source:
    """A data set or a file of weights.

    Attributes:
        what: In one line.
        files: What is fetched.
        place: Where it goes: the folder of a data set, or that in which files of weights lie.
        inner: The folder within the archives that holds the data set; None for files that stay as they are.
        counts: How many pictures the lists of a VOC year must name.
        note: On its licence or its making.
        convert: For weights: what `python -m minissd convert` is told beside the file.
    """

    what: str
    files: tuple[RemoteFile, ...]
    place: str
    inner: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    convert: str = ""

    @property
    def is_archive(self) -> bool:
        """Whether it is unpacked."""
        return self.inner is not None

    @property
    def n_bytes(self) -> int:
        """What is sent."""
        return sum(file.n_bytes for file in self.files)

    @property
    def disk_bytes(self) -> int:
        """What the disk must have room for: one archive after the other is unpacked and deleted."""
        if not self.is_archive:
            return self.n_bytes
        contents = sum(file.unpacked or file.n_bytes for file in self.files)
        return contents + max(file.n_bytes for file in self.files)


_VOC = "http://host.robots.ox.ac.uk/pascal/VOC"
_COCO = "http://images.cocodataset.org"
_TORCH = "https://download.pytorch.org/models"
_FLICKR = "the photographs belong to their Flickr authors: for research"
_IMAGENET = "trained on ImageNet, whose terms allow research and teaching"

_COCO_ANNOTATIONS = RemoteFile(
    f"{_COCO}/annotations/annotations_trainval2017.zip", 252_907_541, unpacked=1_200_000_000
)
_COCO_VAL = RemoteFile(f"{_COCO}/zips/val2017.zip", 815_585_330)

SOURCES: dict[str, Source] = {
    "voc2007": Source(
        "PASCAL VOC 2007: trainval (5,011 pictures) and test (4,952)",
        (
            RemoteFile(
                f"{_VOC}/voc2007/VOCtrainval_06-Nov-2007.tar",
                460_032_000,
                "7d8cd951101b0957ddfd7a530bdc8a94f06121cfc1e511bb5937e973020c7508",
            ),
            RemoteFile(
                f"{_VOC}/voc2007/VOCtest_06-Nov-2007.tar",
                451_020_800,
                "6836888e2e01dca84577a849d339fa4f73e1e4f135d312430c4856b5609b4892",
            ),
        ),
        "VOC2007",
        "VOCdevkit/VOC2007",
        {name: VOC_COUNTS["VOC2007"][name] for name in ("trainval", "test")},
        _FLICKR,
    ),
    "voc2012": Source(
        "PASCAL VOC 2012: trainval (11,540 pictures)",
        (
            RemoteFile(
                f"{_VOC}/voc2012/VOCtrainval_11-May-2012.tar",
                1_999_639_040,
                "e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
            ),
        ),
        "VOC2012",
        "VOCdevkit/VOC2012",
        {"trainval": VOC_COUNTS["VOC2012"]["trainval"]},
        _FLICKR,
    ),
    "coco2017": Source(
        "COCO 2017: train (118,287 pictures) and val (5,000)",
        (RemoteFile(f"{_COCO}/zips/train2017.zip", 19_336_861_798), _COCO_VAL, _COCO_ANNOTATIONS),
        "coco2017",
        "",
        note=f"no checksum is published: only sizes and the archives' own CRCs are checked; {_FLICKR}",
    ),
    "coco2017-val": Source(
        "COCO 2017: val alone (5,000 pictures), with the annotations of train too",
        (_COCO_VAL, _COCO_ANNOTATIONS),
        "coco2017-val",
        "",
        note=f"no checksum is published: only sizes and the archives' own CRCs are checked; {_FLICKR}",
    ),
    "vgg16": Source(
        "VGG16 classifier, torchvision's weights",
        (RemoteFile(f"{_TORCH}/vgg16-397923af.pth", 553_433_881, "397923af", exact=False),),
        "weights",
        note=_IMAGENET,
        convert="--model ssd300",
    ),
    "ssd300-coco": Source(
        "SSD300 with VGG16 trained on COCO, torchvision's weights",
        (
            RemoteFile(
                f"{_TORCH}/ssd300_vgg16_coco-b556d3b4.pth", 142_594_000, "b556d3b4", exact=False
            ),
        ),
        "weights",
        note="trained on COCO",
    ),
    "mobilenetv2": Source(
        "MobileNetV2 classifier, torchvision's first weights",
        (RemoteFile(f"{_TORCH}/mobilenet_v2-b0353104.pth", 14_212_972, "b0353104", exact=False),),
        "weights",
        note=_IMAGENET,
        convert="--model ssd-mobilenetv2",
    ),
    "mobilenetv2-v2": Source(
        "MobileNetV2 classifier, torchvision's second weights",
        (RemoteFile(f"{_TORCH}/mobilenet_v2-7ebf99e0.pth", 14_259_000, "7ebf99e0", exact=False),),
        "weights",
        note=_IMAGENET,
        convert="--model ssd-mobilenetv2",
    ),
}

# What lies behind a consent page is for a person to fetch: what it is, and how.
BY_HAND: dict[str, tuple[str, str]] = {
    "ssd-authors": (
        "the authors' trained models in Caffe's format (VGG_VOC0712_SSD_300x300 and others)",
        "They are on Google Drive, linked from the README of github.com/weiliu89/caffe (branch ssd),"
        " section Models. Fetch an archive in a browser, unpack it, and give its .caffemodel to"
        " python -m minissd convert.",
    ),
    "ilsvrc-det": (
        "ILSVRC DET, ImageNet's detection data",
        "It needs an account at image-net.org and consent to its terms. Unpack it so that Annotations/DET,"
        " Data/DET and ImageSets/DET lie in one folder, put data/map_det.txt of the development kit there"
        " for readable names, and look at it with python -m minissd check-dataset FOLDER --split val.",
    ),
    "voc2012-test": (
        "the test pictures of PASCAL VOC 2012",
        "They need an account at the evaluation server, host.robots.ox.ac.uk:8080; their annotations are"
        " not public: results are measured there.",
    ),
}
