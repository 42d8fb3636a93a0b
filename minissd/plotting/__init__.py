"""Every picture of minissd, and the only place that imports Matplotlib.

Figures are built without pyplot: no window, no global state, safe in threads and on a machine without a screen.
"""

from minissd.plotting.ablation import ablation_figure
from minissd.plotting.boxes import draw_boxes
from minissd.plotting.curves import loss_curves, precision_recall_figure
from minissd.plotting.error_figures import error_kinds_figure, wrong_kinds_figure
from minissd.plotting.output import save_figure, save_image
from minissd.plotting.photo import annotate_photo
from minissd.plotting.samples import before_after_figure, contact_sheet, detections_figure
from minissd.plotting.sensitivity import sensitivity_figure
from minissd.plotting.style import MARKS, Mark

__all__ = [
    "MARKS",
    "Mark",
    "ablation_figure",
    "annotate_photo",
    "before_after_figure",
    "contact_sheet",
    "detections_figure",
    "draw_boxes",
    "error_kinds_figure",
    "loss_curves",
    "precision_recall_figure",
    "save_figure",
    "save_image",
    "sensitivity_figure",
    "wrong_kinds_figure",
]
