"""The names of VGG16 and of SSD on it, in the files of torchvision, timm, ssd.pytorch and the authors' Caffe.

torchvision numbers the layers of `vgg16.features`, with ReLUs and poolings, from 0 to 30; ssd.pytorch numbers its list
`vgg` alike and goes on with fc6 (there conv6) at 31 and fc7 (conv7) at 33.
"""

from __future__ import annotations

from minissd.models.spec import IMAGENET_MEAN, IMAGENET_STD
from minissd.models.weights.naming import COUNTER, Naming

# Places of the convolutions among VGG16's layers.
PLACES = {
    "conv1_1": 0,
    "conv1_2": 2,
    "conv2_1": 5,
    "conv2_2": 7,
    "conv3_1": 10,
    "conv3_2": 12,
    "conv3_3": 14,
    "conv4_1": 17,
    "conv4_2": 19,
    "conv4_3": 21,
    "conv5_1": 24,
    "conv5_2": 26,
    "conv5_3": 28,
}
EXTRAS = [f"conv{number}_{k}" for number in range(6, 11) for k in (1, 2)]  # SSD300 has the first 8
CLASSIFIER = "the ImageNet classifier"


def _places(template: str, fc6: str, fc7: str) -> dict[str, str]:
    numbered = {name: template.format(place) for name, place in PLACES.items()}
    return {**numbered, "fc6": fc6, "fc7": fc7}


TORCHVISION_VGG16 = Naming(
    "VGG16 of ImageNet, torchvision's names",
    "vgg16",
    _places("features.{}", "classifier.0", "classifier.3"),
    ignored={r"^classifier\.6\.": CLASSIFIER, **COUNTER},
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    subsample=True,
)
TIMM_VGG16 = Naming(
    "VGG16 of ImageNet, timm's names",
    "vgg16",
    _places("features.{}", "pre_logits.fc1", "pre_logits.fc2"),
    ignored={r"^head\.fc\.": CLASSIFIER, **COUNTER},
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    subsample=True,
)
# torchvision's "features" weights came from ssd.pytorch and so from Caffe: images are not divided by a deviation, and
# what stands in the classifier is no number.
TORCHVISION_FEATURES = Naming(
    "VGG16's features as SSD's training starts from them, torchvision's names",
    "vgg16",
    _places("features.{}", "(fc6)", "(fc7)"),
    ignored={r"^classifier\.": "a classifier that holds no numbers", **COUNTER},
)
SSD_PYTORCH_VGG16 = Naming(
    "VGG16 with reduced fc6 and fc7, ssd.pytorch's names (vgg16_reducedfc)",
    "vgg16",
    _places("{}", "31", "33"),
)
CAFFE_VGG16 = Naming(
    "VGG16, Caffe's names",
    "vgg16",
    {name: name for name in (*PLACES, "fc6", "fc7")},
    parts=("0", "1"),
    ignored={r"^fc8": CLASSIFIER},
    bgr=True,
    subsample=True,
)

TORCHVISION_SSD300 = Naming(
    "SSD300 with VGG16, torchvision's names (ssd300_vgg16)",
    "vgg16",
    {
        **{name: f"backbone.features.{PLACES[name]}" for name in PLACES if name < "conv5"},
        **{f"conv5_{k}": f"backbone.extra.0.{2 * k - 1}" for k in (1, 2, 3)},
        "fc6": "backbone.extra.0.7.1",
        "fc7": "backbone.extra.0.7.3",
        **{name: f"backbone.extra.{1 + i // 2}.{i % 2 * 2}" for i, name in enumerate(EXTRAS[:8])},
    },
    norm="backbone.scale_weight",
    heads=(
        "head.classification_head.module_list.{i}",
        "head.regression_head.module_list.{i}",
    ),
    models=("ssd300-torchvision",),
)
SSD_PYTORCH = Naming(
    "SSD with VGG16, ssd.pytorch's names (ssd300_mAP_77.43_v2)",
    "vgg16",
    {
        **_places("vgg.{}", "vgg.31", "vgg.33"),
        **{name: f"extras.{i}" for i, name in enumerate(EXTRAS)},
    },
    norm="L2Norm.weight",
    heads=("conf.{i}", "loc.{i}"),
    models=("ssd300", "ssd300-coco", "ssd512", "ssd512-coco"),
    settings={"clip": "centers", "matching": "overwrite", "integer_sizes": False},
    network={"ceil_pools": (3,), "norm_rule": "outside"},
)
CAFFE_SSD = Naming(
    "SSD with VGG16, the authors' Caffe names",
    "vgg16",
    {name: name for name in (*PLACES, "fc6", "fc7", *EXTRAS)},
    parts=("0", "1"),
    norm="conv4_3_norm.0",
    heads=("{map}_mbox_conf", "{map}_mbox_loc"),
    bgr=True,
)
