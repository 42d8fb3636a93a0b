"""A training run and its folder: settings, metrics, checkpoints, plots, and pictures of what the network sees.

config.json          the settings, complete: with the seed they determine the weights
metrics.jsonl        one line a step
last.safetensors     the newest checkpoint, replaced after each epoch and every `save_every` steps
evaluation.json      average precision by class and by object size
loss.png  precision_recall.png  before.png  after.png
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minissd import plotting
from minissd.backend import resolve_device
from minissd.datasets.augment import Augment
from minissd.datasets.loader import CACHE_BYTES, Loader
from minissd.errors import InputError
from minissd.evaluation.average_precision import Evaluation
from minissd.files import make_folder, write_text
from minissd.models.detector import Detector
from minissd.training.checkpoint import (
    LAST,
    Checkpoint,
    fingerprint,
    fit_state,
    load_checkpoint,
    save_checkpoint,
)
from minissd.training.communicator import ALONE, Communicator
from minissd.training.config import TrainConfig
from minissd.training.inference import Subset, detect_dataset, evaluate_dataset
from minissd.training.loop import FOR_EVER, Interrupted, OutOfTime, run_epochs
from minissd.training.metrics import MetricsLog
from minissd.training.run_inputs import fill_body, open_data
from minissd.training.trainer import StepResult, Trainer

SAMPLES = 6  # pictures in before.png and after.png
PICTURE_SCORE = 0.4  # detections below are not drawn


class TrainingRun:
    """One run in one folder; made by `start` or `resume`.

    Args:
        config: Settings, with the class names filled in.
        folder: The run folder.
        device: auto, cpu or gpu.
        checkpoint: Where to go on, or None for a fresh network.
        communicator: The processes that train together; the first of them writes and prints, all share the images.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        device: str,
        checkpoint: Checkpoint | None,
        communicator: Communicator = ALONE,
    ):
        self.config, self.folder = config, folder
        self.communicator, self.leads = communicator, communicator.leads
        self.train_set, self.eval_set = open_data(config)
        self.class_names = self.train_set.class_names
        model = config.build(len(self.class_names), np.random.default_rng(config.seed))
        self.loader = Loader(
            self.train_set,
            config.batch_size,
            Augment.named(config.augment, model.spec.image_size),
            seed=config.seed,
            workers=config.workers,
            cache_bytes=CACHE_BYTES // communicator.local_size,
            part=communicator.rank,
            n_parts=communicator.size,
        )
        if checkpoint is not None:
            self.check_fits(checkpoint)
            fit_state(model, checkpoint.model, folder / LAST)
        elif config.init:
            filled = fill_body(model, config.init)
            if self.leads:
                print(filled)
        model.to(resolve_device(device))
        steps = config.iterations or config.epochs * len(self.loader)
        self.trainer = Trainer(model, config, steps, communicator)
        if checkpoint is not None:
            fit_state(self.trainer.optimizer, checkpoint.optimizer, folder / LAST)
            self.trainer.step_number = checkpoint.step
        self.detector = Detector(model, self.class_names)
        self.saved_step = None if checkpoint is None else checkpoint.step
        self.log: MetricsLog | None = None

    @classmethod
    def start(
        cls,
        config: TrainConfig,
        folder: str | Path,
        device: str = "auto",
        communicator: Communicator = ALONE,
    ) -> TrainingRun:
        """Begin a run in a new or empty folder.

        Raises:
            InputError: The folder holds a run already, or cannot be made; the data set cannot be used.
        """
        folder = Path(folder)
        if communicator.leads and (folder / LAST).exists():
            raise InputError(
                f"{folder}: holds a run already; go on with it by --resume {folder}, "
                "or name another folder with --out"
            )
        run = cls(config, folder, device, None, communicator)
        if run.leads:
            make_folder(folder)
            write_text(folder / "config.json", config.to_json() + "\n")
        run.save()
        return run

    @classmethod
    def resume(
        cls, folder: str | Path, device: str = "auto", communicator: Communicator = ALONE
    ) -> TrainingRun:
        """Go on with the run of a folder, from its newest checkpoint, on any number of processes.

        Raises:
            InputError: There is no run, or its checkpoint is damaged or does not fit the data.
        """
        folder = Path(folder)
        if folder.is_file():  # the checkpoint was named instead of its folder
            folder = folder.parent
        checkpoint = load_checkpoint(folder / LAST) if communicator.leads else None
        checkpoint = communicator.share(checkpoint)
        return cls(checkpoint.config, folder, device, checkpoint, communicator)

    def check_fits(self, checkpoint: Checkpoint) -> None:
        """Raise an `InputError` unless the data set is the one that the run began with."""
        began = f"but the run in {self.folder} began with"
        if self.class_names != checkpoint.class_names:
            raise InputError(
                f"{self.config.data}: its classes are {', '.join(self.class_names)}, {began} "
                f"{', '.join(checkpoint.class_names)}"
            )
        images = fingerprint(self.train_set.image_ids)
        if checkpoint.images and images != checkpoint.images:
            raise InputError(
                f"{self.config.data}: split {self.config.split} has changed: it lists {images}, {began} "
                f"{checkpoint.images}; start a new run"
            )

    @property
    def n_epochs(self) -> float:
        """How many passes over the images the whole run is; not always a whole number."""
        return self.trainer.total_steps / len(self.loader)

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.trainer.step_number >= self.trainer.total_steps

    def run(
        self,
        progress: bool = True,
        brief: bool = False,
        time_is_over: Callable[[], bool] = FOR_EVER,
    ) -> int:
        """Train to the end and evaluate.

        Args:
            progress: Show progress bars.
            brief: Neither draw sample pictures nor print the evaluation, for one of many runs.
            time_is_over: Asked after each step; the run stops when it says so, to be resumed.

        Returns:
            0, also where the time was over; 130 after Ctrl-C.
        """
        if self.leads:
            self.log = MetricsLog(self.folder / "metrics.jsonl", self.trainer.step_number)
        if self.trainer.step_number == 0 and not brief:
            self.draw_samples("before.png")
        try:
            self.train(progress, time_is_over)
        except Interrupted as why:
            self.save_step()
            where = f"stopped after step {self.trainer.step_number} of {self.trainer.total_steps}"
            how = f"; go on with: python -m minissd train --resume {self.folder}"
            if self.leads:
                print(where if brief else where + how, file=sys.stderr)
            return 0 if isinstance(why, OutOfTime) else 130
        self.conclude(progress, brief)
        return 0

    def train(self, progress: bool = True, time_is_over: Callable[[], bool] = FOR_EVER) -> None:
        """Do the remaining steps, writing metrics and checkpoints; arguments as in `run`."""
        trainer, config = self.trainer, self.config
        bar = tqdm(
            total=trainer.total_steps,
            initial=trainer.step_number,
            unit="step",
            desc="training",
            disable=not progress or not self.leads,
            smoothing=0.05,
        )

        def on_step(result: StepResult, loader: Loader) -> None:
            epoch, numbers = result.step_number / len(loader), result.numbers
            if self.leads:
                self.log.append(step=result.step_number, epoch=round(epoch, 4), **numbers._asdict())
            if result.step_number % config.save_every == 0:
                self.save_step()
            bar.update()
            images_per_second = (bar.format_dict["rate"] or 0) * config.batch_size
            bar.set_postfix_str(
                f"class {result.class_loss:.2f} box {result.box_loss:.2f} "
                f"{images_per_second:.0f} img/s epoch {epoch:.1f}/{self.n_epochs:.4g}",
                refresh=False,
            )

        def on_epoch(epoch: int) -> None:
            self.save_step()
            if config.eval_every and epoch % config.eval_every == 0 and not self.finished:
                evaluation = self.evaluate(progress=False)
                if not self.leads:
                    return
                self.log.append(step=trainer.step_number, epoch=epoch, mean_ap=evaluation.mean_ap)
                tqdm.write(f"epoch {epoch}: mAP {evaluation.mean_ap:.3f}", file=sys.stderr)

        with bar:
            run_epochs(trainer, self.loader, on_step, on_epoch, time_is_over)

    def conclude(self, progress: bool = True, brief: bool = False) -> Evaluation | None:
        """Evaluate the trained network, draw the plots, and say where everything is; arguments as in `run`."""
        self.save_step()
        evaluation = None if self.eval_set is None else self.evaluate(progress)
        if not self.leads:
            return None
        if evaluation is not None:
            self.log.append(
                step=self.trainer.step_number,
                epoch=round(self.n_epochs, 4),
                mean_ap=evaluation.mean_ap,
            )
            figure = plotting.precision_recall_figure(evaluation)
            plotting.save_figure(figure, self.folder / "precision_recall.png")
            if not brief:
                print(evaluation.format_table())
        plotting.save_figure(plotting.loss_curves(self.log.rows), self.folder / "loss.png")
        if not brief:
            self.draw_samples("after.png")
        self.write_checkpoint(evaluation.mean_ap if evaluation else None)
        if evaluation is not None:  # its file comes last: where it is, all is done
            report = json.dumps(evaluation.to_json(), indent=2) + "\n"
            write_text(self.folder / "evaluation.json", report)
        if not brief:
            print(f"the run is in {self.folder}")
        return evaluation

    def evaluate(self, progress: bool = True) -> Evaluation | None:
        """Measure the network on the evaluation images; all processes share them, the first has the result."""
        return evaluate_dataset(
            self.detector,
            self.eval_set,
            workers=self.config.workers,
            progress=progress,
            communicator=self.communicator,
        )

    def draw_samples(self, name: str) -> None:
        """Draw what the network finds now in a few evaluation images (training images where there are none)."""
        if not self.leads:
            return
        chosen = Subset(self.eval_set if self.eval_set is not None else self.train_set, SAMPLES)
        found, truths = detect_dataset(self.detector, chosen, SAMPLES, workers=0, progress=False)
        figure = plotting.detections_figure(
            [chosen[i].image for i in range(len(chosen))],
            truths,
            found,
            self.class_names,
            min_score=PICTURE_SCORE,
        )
        plotting.save_figure(figure, self.folder / name)

    def save_step(self) -> None:
        """Write the checkpoint of the step just done, unless that was done already."""
        if self.saved_step != self.trainer.step_number:
            self.save()

    def save(self) -> None:
        """Write the checkpoint; where several processes train together, all of them must call this after the same step.

        Raises:
            RuntimeError: Their weights are not the same.
        """
        self.trainer.average_statistics()
        self.trainer.check_same_weights()
        self.saved_step = self.trainer.step_number
        if self.leads:
            self.write_checkpoint()

    def write_checkpoint(self, mean_ap: float | None = None) -> None:
        """Write the checkpoint file; the previous one stays whole until this one is complete."""
        save_checkpoint(
            self.folder / LAST,
            Checkpoint(
                self.trainer.model.state(),
                self.trainer.optimizer.state(),
                self.config,
                self.class_names,
                self.trainer.step_number,
                mean_ap,
                fingerprint(self.train_set.image_ids),
                dataclasses.asdict(self.trainer.model.spec),
            ),
        )
