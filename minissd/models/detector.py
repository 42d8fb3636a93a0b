"""Images in, detections out: the network, softmax, decoding, and non-maximum suppression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minissd.backend import Array, array_module, to_device
from minissd.boxes.coding import decode
from minissd.boxes.geometry import centers_to_corners, clip
from minissd.boxes.nms import Detections, batched_nms
from minissd.models.half import halved
from minissd.models.loss import usable_boxes
from minissd.models.spec import DetectorSpec
from minissd.models.ssd import SSD
from minissd.nn.losses import softmax


def decode_detections(
    scores: Array, offsets: Array, default_centers: Array, spec: DetectorSpec
) -> list[Detections]:
    """Turn the network's output into detections.

    A device with kernels does all images at once, in a number of launches that does not depend on the data, and is
    asked once, for the detections.

    Args:
        scores: (N, K, C + 1) before softmax, background first.
        offsets: (N, K, 4).
        default_centers: (K, 4) in centre form.
        spec: Gives score floor, candidates a class, NMS threshold, most detections an image, scales and clamps.

    Returns:
        For each image its detections, best first, as NumPy arrays; boxes are clipped to the image.

    Source: Liu et al. 2016, section 3.1 and 3.7 (score floor 0.01, NMS at 0.45 a class, the best 200 an image).
    """
    probabilities = softmax(scores)[..., 1:]
    if spec.ignore_border:  # what was never trained does not answer
        probabilities = (
            probabilities * usable_boxes(centers_to_corners(default_centers), spec)[:, None]
        )
    boxes = decode(offsets, default_centers, spec.center_scale, spec.size_scale, spec.size_clamp)
    if spec.clip_before_nms:
        boxes = clip(boxes)
    found = batched_nms(
        boxes,
        probabilities,
        score_floor=spec.score_floor,
        iou_threshold=spec.nms_iou,
        candidates_per_class=spec.candidates_per_class,
        max_detections=spec.max_detections,
    )
    return [each._replace(boxes=clip(each.boxes)) for each in found]


class Detector:
    """A trained network that answers with boxes.

    Args:
        model: The network; put into evaluation mode for the call and back into its mode after it.
        class_names: Names of the object classes, label 1 first.
        half: Compute in float16 (see `half`), on a copy of the network as it is now; on a GPU only.
    """

    def __init__(self, model: SSD, class_names: Sequence[str], half: bool = False):
        self.model = halved(model) if half else model
        self.half = half
        self.class_names = tuple(class_names)

    def detect(self, images: Array) -> list[Detections]:
        """Find the objects of a batch.

        Args:
            images: (N, S, S, 3) uint8 RGB at the network's input size, on any device.

        Returns:
            One `Detections` an image: corner boxes as fractions, labels from 1, scores; NumPy arrays.
        """
        model, was_training = self.model, self.model.training
        model.eval()
        try:
            xp = array_module(next(iter(model.parameters().values())).value)
            scores, offsets = model.predict(to_device(images, xp))
            if self.half:
                scores, offsets = scores.astype("float32"), offsets.astype("float32")
            return decode_detections(scores, offsets, model.default_centers(xp), model.spec)
        finally:
            model.train(was_training)

    def detect_one(self, image: np.ndarray) -> Detections:
        """Find the objects of one image (S, S, 3) uint8."""
        return self.detect(image[None])[0]
