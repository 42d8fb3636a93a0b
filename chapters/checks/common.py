"""What all checks share: a verdict, the hints, and patience with stubs and with code that stops."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

MARK_RIGHT, MARK_OPEN = "✓ Right", "✗ Not yet"


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and the words a learner reads."""

    right: bool
    words: str

    def __repr__(self) -> str:
        return f"{MARK_RIGHT if self.right else MARK_OPEN}: {self.words}"


class Hint(Exception):
    """Stops a check; its text is what the learner reads."""


class Unsolved(Exception):
    """Stops a check where the answer is still a stub."""


def exercise(start: str) -> Callable[[Callable[[Any], str]], Callable[[Any], Verdict]]:
    """Turn a function that raises hints into a check that gives a verdict, never a traceback.

    Args:
        start: The hint for an unsolved stub: where to begin.
    """

    def decorate(judge: Callable[[Any], str]) -> Callable[[Any], Verdict]:
        @wraps(judge)
        def check(answer: Any) -> Verdict:
            try:
                if _is_stub(answer):
                    raise Unsolved
                return Verdict(True, judge(answer))
            except (Unsolved, NotImplementedError):
                return Verdict(False, f"this one is still empty. A way in: {start}")
            except Hint as hint:
                return Verdict(False, str(hint))
            except Exception as error:
                what = f"{type(error).__name__}: {error}".rstrip(": ")
                return Verdict(False, f"your answer stopped with {what}. A way in: {start}")

        check.start = start
        return check

    return decorate


def hint_if(condition: Any, hint: str) -> None:
    """Stop the check with a hint where the condition, one truth value, holds."""
    if bool(condition):
        raise Hint(hint)


def run(answer: Callable[..., Any], *arguments: Any) -> Any:
    """Call the learner's function with copies of the arguments; a function without a result is a stub.

    Raises:
        Hint: The answer is no function, or it changes what it was given.
    """
    hint_if(
        not callable(answer), "a function is asked for here: keep the line that begins with def."
    )
    given = copy.deepcopy(arguments)
    result = answer(*given)
    if _is_stub(result):
        raise Unsolved
    changed = any(repr(a) != repr(b) for a, b in zip(given, arguments))
    hint_if(changed, "your function changes the arrays it was given; work on new ones.")
    return result


def _is_stub(answer: Any) -> bool:
    return answer is None or answer is Ellipsis
