"""The core that is measured has nothing else on it, and afterwards all is as it was."""

import os
import pathlib
import subprocess
import sys

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[3]
BENCH = PROJECT / "perf" / "bench"
sys.path[:0] = [str(BENCH), str(PROJECT / "tests" / "vm")]

import isolation  # noqa: E402
from process import wait_until  # noqa: E402

CORES = sorted(os.sched_getaffinity(0))
CORE, OTHERS = CORES[-1], set(CORES[:-1])


@pytest.fixture
def shell():
    """That starts a child for each line it is sent, and says its number."""
    with subprocess.Popen(["sh", "-c", "while read line; do sleep 1000 & echo $!; done"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          start_new_session=True) as process:
        yield process
        os.killpg(process.pid, 9)


def child_of(shell) -> int:
    shell.stdin.write("\n")
    shell.stdin.flush()
    return int(shell.stdout.readline())


def test_others_are_kept_off_a_core_until_it_is_over(shell):
    assert len(CORES) > 1, "all tests ask for two cores"
    bound = child_of(shell)
    os.sched_setaffinity(bound, {CORE})
    with isolation.kept_free(CORE, shell.pid):
        assert os.sched_getaffinity(shell.pid) == OTHERS
        assert os.sched_getaffinity(bound) == {CORE}, "it may run nowhere else"
        started = child_of(shell)
        assert os.sched_getaffinity(started) == OTHERS
    assert [os.sched_getaffinity(task) for task in (shell.pid, bound, started)] == [set(CORES), {CORE}, set(CORES)]


def test_who_says_meanwhile_where_it_runs_is_left_there(shell):
    with isolation.kept_free(CORE, shell.pid):
        os.sched_setaffinity(shell.pid, {CORE})
    assert os.sched_getaffinity(shell.pid) == {CORE}


def test_all_is_as_it_was_though_who_measured_is_killed(shell):
    program = f"import isolation, time\nwith isolation.kept_free({CORE}, {shell.pid}):\n print('measures', flush=True)\n time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-B", "-c", program], cwd=BENCH, stdout=subprocess.PIPE) as measures:
        measures.stdout.readline()
        assert os.sched_getaffinity(shell.pid) == OTHERS
        measures.kill()
    wait_until(lambda: os.sched_getaffinity(shell.pid) == set(CORES), "the shell to be let run on all cores again")
