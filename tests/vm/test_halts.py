"""The watch for halts of the machine sees one, and says how much of a gap it was."""

import signal
import time

import pytest

from halts import LATE, PERIOD, Halts, merged, ms_within
from process import wait_until


def test_a_core_s_halt_is_found_when_it_is_over(place):
    with Halts(place) as halts:
        watch = halts.watches[1]
        watch.signal(signal.SIGSTOP)  # as if its core were gone
        stopped = time.monotonic()
        time.sleep(0.05)
        resumed = time.monotonic()
        watch.signal(signal.SIGCONT)
        def within():
            return ms_within(halts.found(), stopped, resumed)
        wait_until(lambda: within() > 0, "it is found")
        assert 1000 * (resumed - stopped - PERIOD - LATE) <= within() <= 1000 * (resumed - stopped) + 0.001


def test_of_halts_of_several_cores_the_time_counts_once():
    halts = merged([(3.0, 4.0), (1.0, 2.0), (1.5, 2.5), (1.1, 1.2)])
    assert halts == [(1.0, 2.5), (3.0, 4.0)]
    assert ms_within(halts, 0.0, 5.0) == pytest.approx(2500)
    assert ms_within(halts, 2.0, 3.5) == pytest.approx(1000)
    assert ms_within(halts, 2.6, 2.9) == 0
