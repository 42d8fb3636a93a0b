"""Chapter 10: training, and what a wrong one looks like."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from .common import exercise, hint_if, run

FINDINGS = (
    "learning rate too high",
    "learning rate too low",
    "gradients never set to zero",
    "offsets' gradient with the wrong sign",
    "boxes that match nothing",
    "boxes in the wrong place",
)
_RIGHT = {"P": FINDINGS[3], "Q": FINDINGS[1], "R": FINDINGS[2]}
PARTS = (
    "weights",
    "running mean and variance of batch norm",
    "velocity of every weight",
    "number of the step",
    "settings, the seed among them",
    "gradients",
    "learning rate",
    "default boxes",
)
_NEEDED = frozenset(PARTS[:5])


def _loss(counts: Sequence[int], ratio: float) -> float:
    shares = [count / sum(counts) for count in counts if count]
    entropy = -sum(share * math.log(share) for share in shares)
    return math.log(1 + ratio) + entropy + ratio * math.log((1 + ratio) / ratio)


@exercise(
    "for one positive there are `ratio` negatives. With which chance is a counted box background, and with"
    " which is it of class c? What does each of them pay?"
)
def check_ignoring_loss(answer: Callable[..., float]) -> str:
    """The class loss of a network that answers every picture with the frequencies."""
    counts = [10, 30, 60]
    got = run(answer, counts, 3.0)
    hint_if(np.shape(got) != (), "one number is asked for, a loss.")
    right, entropy = _loss(counts, 3.0), _loss(counts, 3.0) - _loss([1], 3.0)
    hint_if(np.isnan(got), "nan, although every class was seen: which logarithm went wrong?")
    hint_if(
        np.isclose(got, entropy),
        "that is what a positive pays if the network knows that it is one. Who tells it? And the negatives?",
    )
    hint_if(
        np.isclose(got, math.log(4) + entropy),
        "that is what the positives pay. The negatives are not free: each pays as well.",
    )
    hint_if(
        np.isclose(got, right / 4),
        "the mean over all counted boxes: by what does SSD divide the sum? Look at `multibox_loss`.",
    )
    hint_if(np.isclose(got, right / math.log(2)), "in bits; the loss uses the natural logarithm.")
    hint_if(
        np.isclose(got, _loss([1, 1, 1], 3.0)),
        "the classes are not equally frequent here: use the counts.",
    )
    hint_if(not np.isclose(got, right), f"for counts {counts} and ratio 3, {got:.3f} is not it.")
    other = run(answer, counts, 1.0)
    hint_if(
        not np.isclose(other, _loss(counts, 1.0)),
        "right for three negatives to a positive, wrong for one: is the ratio built in?",
    )
    rare = run(answer, [5, 0, 5], 3.0)
    hint_if(
        not np.isclose(rare, _loss([5, 5], 3.0)),
        "a class that was never seen spoils it: what is 0 times its logarithm to be?",
    )
    return (
        "a loss that stays at this number, however long, is one in which the picture plays no part."
    )


@exercise(
    "begin with the run whose gradient is the strangest, then ask which of the two losses moves."
)
def check_diagnosis(answer: Mapping[str, str]) -> str:
    """Three runs, three findings."""
    hint_if(not isinstance(answer, Mapping), "a dictionary is asked for, such as {'P': '...'}.")
    hint_if(set(answer) != set(_RIGHT), "give one finding for each of P, Q and R.")
    unknown = [finding for finding in answer.values() if finding not in FINDINGS]
    hint_if(unknown, f"{unknown[:1]} is not on the list: copy the words from FINDINGS.")
    hint_if(
        "boxes that match nothing" in answer.values(),
        "look at the positives: in all three runs there are as many as in the sound one.",
    )
    hint_if(
        answer["R"] == "learning rate too high",
        "R: too high a rate lets the gradient shrink first, as in E. Here it swells from the first step on."
        " Something adds up: what?",
    )
    hint_if(
        answer["P"] == "boxes in the wrong place",
        "P: boxes in the wrong place still have an offset to learn, if a useless one: that loss would sink at"
        " first. What does it do here?",
    )
    hint_if(
        answer["Q"] == "boxes in the wrong place",
        "Q: those would hang at the dotted line. Has this run come to it, and is it still moving?",
    )
    for run_name, finding in _RIGHT.items():
        hint_if(
            answer[run_name] != finding,
            f"{run_name}: not this one. Compare its row with the sound run's, column by column.",
        )
    return "none of them raised an error; each left its mark in another column."


@exercise("two cases: before `warmup` steps a straight line, afterwards half a wave of the cosine.")
def check_rate(answer: Callable[..., float]) -> str:
    """Warm-up in a line, then half a cosine wave to zero."""
    arguments = (0.02, 10, 110)  # top, warmup, total
    first = run(answer, 0, *arguments)
    hint_if(np.shape(first) != (), "one number is asked for: the rate of one step.")
    hint_if(first == 0, "the first step has rate 0: it would teach nothing. Steps count from 0.")
    hint_if(np.isclose(first, 0.02), "the first step has the full rate: where is the warm-up?")
    hint_if(not np.isclose(first, 0.002), f"step 0 of 10 to warm up has {first:.4f}: too far off.")
    last_warm = run(answer, 9, *arguments)
    hint_if(
        not np.isclose(last_warm, 0.02), "after the whole warm-up the rate should be at the top."
    )
    middle, top = run(answer, 60, *arguments), run(answer, 10, *arguments)
    whole = 0.01 * (1 + math.cos(math.pi * 60 / 110))
    hint_if(
        np.isclose(middle, whole) or not np.isclose(top, 0.02),
        "the wave does not start at the top: it begins when the warm-up ends, not at step 0.",
    )
    hint_if(
        np.isclose(middle, 0.02 * math.cos(math.pi * 0.5), atol=1e-6),
        "halfway, the rate is already 0, and then it would be negative. A learning rate never is.",
    )
    hint_if(not np.isclose(middle, 0.01), f"halfway down the wave the rate is {middle:.4f}.")
    quarter = run(answer, 35, *arguments)
    hint_if(
        np.isclose(quarter, 0.015),
        "that is a straight line down. A cosine stays near the top for longer.",
    )
    hint_if(
        not np.isclose(quarter, 0.01 * (1 + math.cos(math.pi / 4))),
        "right at the ends and in the middle, wrong at a quarter.",
    )
    near_end = run(answer, 109, *arguments)
    hint_if(not 0 < near_end < 2e-5, "the last step should be nearly at 0.")
    return (
        "as it depends on the step alone, a run that is resumed goes on with the very same rates."
    )


@exercise("for each of PARTS ask: can it be computed anew from the others, exactly?")
def check_to_save(answer: Collection[str]) -> str:
    """What a checkpoint must hold so that the resumed run equals the uninterrupted one."""
    hint_if(isinstance(answer, str), "several are asked for: a list, or a set.")
    chosen = set(answer)
    hint_if(not chosen <= set(PARTS), f"not on the list: {sorted(chosen - set(PARTS))[:1]}.")
    hint_if(
        "gradients" in chosen,
        "gradients: what does the training step do to them first of all?",
    )
    hint_if(
        "learning rate" in chosen,
        "the learning rate of step 500 follows from something else that is on the list.",
    )
    hint_if("default boxes" in chosen, "default boxes: are they learnt, or computed from the spec?")
    missing = {
        PARTS[2]: "after loading, the optimiser would start from rest: see the experiment above.",
        PARTS[
            1
        ]: "the network would detect with other statistics than it had. They are no weights, yet learnt.",
        PARTS[3]: "how would the loader know which pictures are next, and the schedule which rate?",
        PARTS[4]: "which pictures come next, in which order, flipped or not? What decides that?",
        PARTS[0]: "without the most obvious part, nothing was learnt.",
    }
    for part, hint in missing.items():
        hint_if(part not in chosen, hint)
    hint_if(chosen != _NEEDED, "something is missing or too much.")
    return "these five, and the run goes on as if nothing had happened, to the last bit."
