"""Names of the classes that published weights know, in the order of their labels (label 1 first)."""

from __future__ import annotations

_VOC = """
aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep sofa
train tvmonitor
"""
VOC = tuple(_VOC.split())

# The numbers of COCO's annotations go from 1 to 90; ten of them are used by no object.
_COCO_BY_NUMBER = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, -, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, -, backpack, umbrella, -, -,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, -, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, -, dining table, -, -, toilet, -, tv,
laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, -, book, clock, vase,
scissors, teddy bear, hair drier, toothbrush
"""
_NUMBERED = [name.strip() for name in _COCO_BY_NUMBER.split(",")]

COCO = tuple(name for name in _NUMBERED if name != "-")
# torchvision's detectors keep COCO's own numbers; a label that no object has still needs a name of its own.
COCO_NUMBERED = tuple(
    f"N/A {number}" if name == "-" else name for number, name in enumerate(_NUMBERED, start=1)
)


def known_classes(n_object_classes: int) -> tuple[str, ...] | None:
    """Return the names of a published set of 20 (VOC), 80 (COCO) or 90 (COCO's numbers) classes, else None."""
    by_length = {len(names): names for names in (VOC, COCO, COCO_NUMBERED)}
    return by_length.get(n_object_classes)
