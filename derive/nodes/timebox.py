"""A time limit for calls of computer algebra that may not return."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from derive.core import DeriveError

__all__ = ["TimedOut", "timebox"]

T = TypeVar("T")
_REPEAT = 0.05  # seconds after which an alarm that was swallowed rings again
_PATIENCE = 4  # times the seconds of a box may pass on the clock while the machine is busy with others


class TimedOut(DeriveError):
    """A call did not return in its time. Attribute `seconds`: the time it had."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no result within {seconds:g} s", given=f"{seconds:g} s", allowed="more time")
        self.seconds = seconds


class _Alarm(BaseException):
    """Carries the interruption through `except Exception` clauses; never leaves `timebox`."""

    box: _Box | None = None


class _Box:
    """The time of one call: its seconds of work, and a limit on the clock for a call that waits instead of working."""

    def __init__(self, seconds: float) -> None:
        self.worked = time.thread_time() + seconds
        self.passed = time.monotonic() + _PATIENCE * seconds

    @property
    def left(self) -> float:
        """Seconds until the box can be used up, at the earliest."""
        return min(self.worked - time.thread_time(), self.passed - time.monotonic())


_boxes: list[_Box] = []  # of the main thread, outermost first


def timebox(seconds: float, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """The value of function(*args, **kwargs), if it comes within `seconds`.

    In the main thread the seconds are those that the thread works, so that what a check finds does not depend on what
    else the machine does (on the clock up to four times as many may pass); an interval timer interrupts the call, boxes
    may be nested, the earliest deadline counts, and a timer that was set by others goes on.  In other threads, which
    receive no signals, the clock counts, and a watching thread plants the exception in the running one.  Either way
    the interruption arrives between two Python instructions: a single long call of compiled code ends first.

    Raises: TimedOut.

    >>> timebox(5, lambda x: x + 1, 1)
    2
    """
    if seconds <= 0:
        raise TimedOut(seconds)
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        return _by_signal(seconds, function, args, kwargs)
    return _by_watcher(seconds, function, args, kwargs)


def _ring(signum: int, frame: Any) -> None:
    for box in _boxes:
        if box.left <= 0:
            alarm = _Alarm()
            alarm.box = box
            raise alarm
    _arm()


def _all_but_alarms(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The hook for exceptions that finalizers and callbacks lose, spared those that ring again."""

    def report(lost: Any) -> None:
        if not issubclass(lost.exc_type, _Alarm):
            hook(lost)

    return report


def _arm() -> None:
    """Set the timer to the earliest deadline of the open boxes."""
    if _boxes:
        signal.setitimer(signal.ITIMER_REAL, max(min(b.left for b in _boxes), 1e-3), _REPEAT)


def _by_signal(seconds: float, function: Callable[..., T], args: Any, kwargs: Any) -> T:
    start = time.monotonic()
    box = _Box(seconds)
    outermost = not _boxes
    if outermost:
        foreign_handler = signal.signal(signal.SIGALRM, _ring)
        foreign_left, foreign_repeat = signal.setitimer(signal.ITIMER_REAL, 0)
        foreign_hook, sys.unraisablehook = sys.unraisablehook, _all_but_alarms(sys.unraisablehook)
    try:
        try:
            _boxes.append(box)
            _arm()
            return function(*args, **kwargs)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            _boxes.remove(box)
            _arm()
    except _Alarm as alarm:
        if alarm.box is box:
            raise TimedOut(seconds) from None
        raise
    except SystemError as broken:  # compiled code that had no place for the alarm
        alarm_inside: BaseException | None = broken
        while alarm_inside is not None and not isinstance(alarm_inside, _Alarm):
            alarm_inside = alarm_inside.__cause__ or alarm_inside.__context__
        if alarm_inside is None:
            raise
        if alarm_inside.box is box:
            raise TimedOut(seconds) from None
        raise alarm_inside from None
    finally:
        if box in _boxes:  # the alarm rang while the box was being closed
            _boxes.remove(box)
            _arm()
        if outermost:
            _boxes.clear()
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, foreign_handler)
            sys.unraisablehook = foreign_hook
            if foreign_left:
                left = foreign_left - (time.monotonic() - start)
                signal.setitimer(signal.ITIMER_REAL, max(left, 1e-4), foreign_repeat)


def _by_watcher(seconds: float, function: Callable[..., T], args: Any, kwargs: Any) -> T:
    thread = threading.get_ident()
    lock = threading.Lock()
    done = threading.Event()
    plant = ctypes.pythonapi.PyThreadState_SetAsyncExc

    # One class for each box: an interruption planted from outside carries no value that could name the box.
    alarm_class: type[_Alarm] = type("_ThreadAlarm", (_Alarm,), {})

    def watch() -> None:
        wait = seconds
        while not done.wait(wait):
            with lock:
                if not done.is_set():
                    plant(ctypes.c_ulong(thread), ctypes.py_object(alarm_class))
            wait = _REPEAT

    watcher = threading.Thread(target=watch, daemon=True)
    try:
        try:
            watcher.start()
            return function(*args, **kwargs)
        finally:
            with lock:
                done.set()
                plant(ctypes.c_ulong(thread), None)
    except alarm_class:
        done.set()
        raise TimedOut(seconds) from None
