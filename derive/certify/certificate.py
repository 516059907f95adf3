"""What was proven of a value, and its digits in decimals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from flint import acb, arb

from derive.core import DeriveError, Verdict
from derive.ledger.balls import NotEnclosed, precision
from derive.ledger.stage_roots import Obstacle
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["MAX_DIGITS", "Certificate", "Digits", "bits_for", "check_digits", "decimal", "proven_digits",
           "within"]

T = TypeVar("T")
MAX_DIGITS = 2000


def check_digits(digits: object) -> None:
    """Raises: DeriveError for what is no number of digits that can be asked for."""
    if isinstance(digits, bool) or not isinstance(digits, int) or not 1 <= digits <= MAX_DIGITS:
        raise DeriveError(f"digits = {digits!r} is not a whole number from 1 to {MAX_DIGITS}",
                          given=repr(digits), allowed=f"1..{MAX_DIGITS}")


def bits_for(digits: int) -> int:
    """The working precision with which so many digits are aimed at."""
    return int(digits * 3.33) + 64


def within(seconds: float, prove: Callable[..., T], *args: Any) -> tuple[T | None, str]:
    """What is proven in time; None where something is missing, with what that is in words."""
    try:
        return timebox(seconds, prove, *args), ""
    except TimedOut:
        return None, f"stopped after {seconds:g} s"
    except Obstacle as reason:
        return None, str(reason)
    except NotEnclosed as reason:
        return None, f"no enclosure is known: {reason}"
    except (ValueError, ZeroDivisionError, OverflowError) as reason:
        return None, f"an enclosure failed: {reason}"


@dataclass(frozen=True)
class Certificate:
    """What was proven of a value.

    Attributes: verdict (CERTIFIED, or CORROBORATED where something is missing), value and log_value (the digits that
    are proven, and no more), digits (how many of the value, at most those asked for), lower and upper (ends of the
    enclosure of the value; of its logarithm where the value underflows), branch, existence and uniqueness (in words,
    unknown by unknown), brackets (unknown -> where it was shown to be the only root), obstacle (what was not proven).
    In JSON `bracket` is the first of them, `exists` and `unique` say whether both are proven there.
    """

    verdict: Verdict
    value: str
    log_value: str
    digits: int
    lower: str
    upper: str
    branch: str
    existence: str
    uniqueness: str
    brackets: Mapping[str, tuple[str, str]]
    obstacle: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        proven = self.verdict is Verdict.CERTIFIED
        return {"exists": proven, "unique": proven, "bracket": next((list(v) for v in self.brackets.values()), None),
                "verdict": self.verdict.name, "value": self.value, "log_value": self.log_value, "digits": self.digits,
                "lower": self.lower, "upper": self.upper, "branch": self.branch, "existence": self.existence,
                "uniqueness": self.uniqueness, "brackets": {k: list(v) for k, v in self.brackets.items()},
                "obstacle": self.obstacle}


class Digits(NamedTuple):
    """The digits of a ball that are proven, of its logarithm ("nan" where it is not asked for), and its two ends."""

    value: str
    log_value: str
    digits: int
    lower: str
    upper: str


def proven_digits(ball: Any, digits: int, positive: bool, bits: int) -> Digits:
    """At most so many digits of a ball.

    Raises: Obstacle where the ball is not finite and real, or not one digit is proven.
    """
    if isinstance(ball, acb) or not ball.is_finite():
        raise Obstacle("the value is not enclosed by a finite ball")
    proven = min(digits, _count(ball))
    if proven < 1:
        raise Obstacle("not one digit of the value could be proven")
    with precision(bits):
        log_value = _shown(ball.log(), proven) if positive and ball > 0 else "nan"
        return Digits(_shown(ball, proven), log_value, proven, decimal(ball.lower(), proven + 10, -1),
                      decimal(ball.upper(), proven + 10, 1))


def _count(ball: Any) -> int:
    """How many decimal digits of a ball are proven."""
    return max(0, int(ball.rel_accuracy_bits() / 3.3219280948873626) - 1)


def _shown(ball: Any, digits: int) -> str:
    return str(ball.str(digits, radius=False))


def decimal(x: Any, digits: int, side: int) -> str:
    """An end in decimals, moved by some units of its last digit: down where side is -1, up where it is 1."""
    with precision(int(digits * 3.33) + 64):
        return str((x + side * abs(x) * arb(10) ** (2 - digits)).str(digits, radius=False))
