"""Verdicts on the exercises: one module a chapter, `chNN.py`, so that several people can write them side by side.

How an exercise is made (chapter 1 is the model):

1. In the notebook, under `## Exercises`, a heading `### Exercise 2 · Touching boxes`, the task in a few sentences,
   then one code cell that begins with the line `# Exercise 2: your answer` and sets one name, say `touching`,
   to a stub: `touching = None` for a value, or a function whose body is `...`;
   its last line is `check_touching(touching)`.
2. In `checks/chNN.py`, a function `check_touching` under the decorator `@exercise(start)`:

       @exercise("How wide is the strip that both boxes cover?")
       def check_touching(answer):
           '''The IoU of two boxes that share an edge.'''
           hint_if(answer == 1, "1 is the answer for equal boxes. What do these two share?")
           hint_if(answer > 0, "Sharing an edge is not sharing an area: ...")
           return "two boxes that only touch have no area in common."

   `start` is the first hint, shown as long as the stub is unsolved. `hint_if(condition, hint)` stops with the hint of
   a usual mistake; what passes them all is right, and the returned words say why it is worth knowing. A function
   that the learner wrote is called through `run(answer, ...)`, which hands it copies, and recognises a stub.
   The last `hint_if` catches every other wrong answer, so that nothing wrong passes. A hint asks or points; it never
   holds the answer. Nothing is imported from `minissd` that the exercise asks for; numbers come from plain Python.
3. In `solutions/chNN.py`, the solution under the name that the check has without `check_`: `touching`.
4. In `tests/chapter_answers/chNN.py`, `WRONG = {"touching": [(answer, "words of the hint"), ...]}`: at least three
   typical wrong answers, each with a hint of its own, those that learners really give first.

The tests find all of this by the names; there is nothing to register.
"""

from .common import Verdict, exercise, hint_if, run

__all__ = ["Verdict", "exercise", "hint_if", "run"]
