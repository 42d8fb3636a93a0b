"""Chapter 2: answers that learners give, and words of the hint that each should get."""

import numpy as np
from solutions.ch02 import ScaleShift


class Overwrites(ScaleShift):
    def backward(self, dy):
        self.dscale, self.dshift = (dy * self.x).sum(axis=0), dy.sum(axis=0)
        return dy * self.scale


class ScaleForgotten(ScaleShift):
    def backward(self, dy):
        super().backward(dy)
        return dy


class Mean(ScaleShift):
    def backward(self, dy):
        self.dscale += (dy * self.x).mean(axis=0)
        self.dshift += dy.mean(axis=0)
        return dy * self.scale


class OfOutput(ScaleShift):
    def backward(self, dy):
        self.dscale += (dy * (self.x * self.scale + self.shift)).sum(axis=0)
        self.dshift += dy.sum(axis=0)
        return dy * self.scale


class NotGathered(ScaleShift):
    def backward(self, dy):
        self.dscale, self.dshift = dy * self.x, dy
        return dy * self.scale


class ShiftIgnored(ScaleShift):
    def backward(self, dy):
        self.dscale += (dy * self.x).sum(axis=0)
        return dy * self.scale


class AddsFirst(ScaleShift):
    def forward(self, x):
        self.x = x
        return (x + self.shift) * self.scale


WRONG = {
    "ScaleShift": [
        (Overwrites, "overwrites the first"),
        (ScaleForgotten, "grows by the scale"),
        (Mean, "a mean over the rows"),
        (OfOutput, "the *input*"),
        (NotGathered, "one number a channel"),
        (ShiftIgnored, "dshift is not"),
        (AddsFirst, "plus the shift"),
    ],
    "found_by_ones": [
        ([False, True, False, False], "not symmetric"),
        ([True, False, False, False], "N times too small"),
        ([True, True, True, False], "all rows of dy are equal"),
        ([True, True, False, True], "after *one* backward"),
        ([True, True], "four answers"),
    ],
    "central": [
        (lambda f, x, h: (f(x + h) - f(x)) / h, "one side only"),
        (lambda f, x, h: (f(x + h) - f(x - h)) / h, "twice too large"),
        (lambda f, x, h: (f(x + h) - f(x - h)) / 2 * h, "Parentheses"),
        (lambda f, x, h: (f(x + 1e-5) - f(x - 1e-5)) / 2e-5, "not used"),
        (lambda f, x, h: (f(x) - f(x - h)) / h, "by hand"),
    ],
    "maximum_backward": [
        (lambda a, b, dy: (dy, dy), "changes nothing"),
        (lambda a, b, dy: (dy * (a < b), dy * (a >= b)), "exchanged"),
        (lambda a, b, dy: ((a >= b) * 1.0, (a < b) * 1.0), "What goes through"),
        (lambda a, b, dy: (dy * (a > b), dy * (b > a)), "nobody has"),
        (lambda a, b, dy: (dy * (a >= b), dy * (b >= a)), "counts twice"),
        (lambda a, b, dy: (dy * (a > b), dy * (b >= a)), "a should have it"),
        (lambda a, b, dy: np.maximum(a, b) * dy, "two arrays"),
    ],
}
