"""The time box returns, or says that it did not."""

import signal
import sys
import threading
import time

import pytest

from derive.core import DeriveError
from derive.nodes import TimedOut, timebox


def forever():
    while True:
        try:
            time.sleep(0.001)
        except Exception:
            continue


def test_a_value_passes_through():
    assert timebox(5, max, 1, 2) == 2
    with pytest.raises(KeyError):
        timebox(5, {}.__getitem__, 1)


def test_too_long():
    start = time.monotonic()
    with pytest.raises(TimedOut) as error:
        timebox(0.1, forever)
    assert time.monotonic() - start < 3
    assert isinstance(error.value, DeriveError)
    assert error.value.seconds == 0.1


def test_no_time_at_all():
    with pytest.raises(TimedOut):
        timebox(0, int)


def test_the_inner_box_ends_alone():
    def outer():
        with pytest.raises(TimedOut):
            timebox(0.05, forever)
        return "went on"

    assert timebox(10, outer) == "went on"


def test_the_outer_box_ends_the_inner():
    start = time.monotonic()
    with pytest.raises(TimedOut) as error:
        timebox(0.1, timebox, 60, forever)
    assert error.value.seconds == 0.1
    assert time.monotonic() - start < 3


def test_the_timer_of_others_goes_on():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(TimedOut):
            timebox(0.05, forever)
        assert timebox(1, int) == 0
        deadline = time.monotonic() + 3
        while not rung and time.monotonic() < deadline:
            time.sleep(0.01)
        assert rung
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_in_another_thread():
    outcome = []

    def work():
        outcome.append(timebox(5, max, 1, 2))
        try:
            timebox(0.1, forever)
        except TimedOut:
            outcome.append("timed out")
        try:
            timebox(0.1, timebox, 60, forever)
        except TimedOut as error:
            outcome.append(error.seconds)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert outcome == [2, "timed out", 0.1]


class Slow:
    """Works long when it is thrown away."""

    def __del__(self) -> None:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            pass


def test_an_alarm_that_a_finalizer_swallows_rings_again_and_is_not_reported() -> None:
    seen: list[object] = []
    before, sys.unraisablehook = sys.unraisablehook, seen.append
    try:
        def work() -> None:
            Slow()
            while True:
                pass

        with pytest.raises(TimedOut):
            timebox(0.1, work)
        assert sys.unraisablehook == seen.append
    finally:
        sys.unraisablehook = before
    assert seen == []
