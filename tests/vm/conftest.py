"""What every vm test gets: a private folder, memory for its guests, and a check that it leaves nothing behind."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

import aims
import hugepages
import testpmd
from gaps import WITHIN, Gap
from halts import Halts, merged, ms_within

LOG_TAIL = 3000


def pytest_addoption(parser):
    parser.addoption("--soak", nargs="?", type=float, const=1.0, metavar="SHARE",
                     help="those tests alone that repeat something, in their long form; 0.1: a tenth as often")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--soak"):
        config.hook.pytest_deselected(items=[item for item in items if "times" not in item.fixturenames])
        items[:] = [item for item in items if "times" in item.fixturenames]
        for item in items:
            item.add_marker(pytest.mark.timeout(7200), append=False)


@pytest.fixture
def times(request):
    """times(short, long): how often a test repeats itself; `long` when asked for by --soak."""
    share = request.config.getoption("--soak")
    return lambda short, long: max(short + 1, round(share * long)) if share else short


class Figures:
    """What tests have measured and do not judge, for people: printed at the end of the long forms."""

    def __init__(self):
        self.lines: list[str] = []

    def add(self, what: str, milliseconds, aim: aims.Aim, total: dict | None = None) -> None:
        """`total`: of vmgen's report, for what became of the frames."""
        found = list(milliseconds)
        of_frames = "" if total is None else "; " + ", ".join(f"{total[key]} {key}" for key in ("received", "lost", "duplicated", "reordered", "corrupted"))
        self.lines.append(f"{what}: {len(found)} times, {aims.described(found, aim)}{of_frames}")

    def add_gaps(self, what: str, gaps: list[Gap], halts: Halts | None, aim: aims.Aim, total: dict | None = None) -> None:
        """And what is left of each without the time in it for which the machine itself was halted, where that is watched."""
        self.add(what, [gap.ms for gap in gaps], aim, total)
        if halts is not None:
            found = halts.found()
            self.add("… less the halts of the machine in it", [gap.ms - ms_within(found, gap.began, gap.began + gap.ms / 1000) for gap in gaps], aim)

    def add_halts(self, halts: Halts | None, instants: list[float]) -> None:
        """Whether they have to do with what was done at these instants."""
        if halts is None:
            return
        found = halts.found()
        after = merged([(instant, instant + WITHIN) for instant in instants])
        shares = [100 * sum(ms_within(found, *span) for span in spans) / sum(1000 * (end - begin) for begin, end in spans)
                  for spans in (after, [(after[0][0], after[-1][1])])]
        self.lines.append(f"… the machine was halted for {shares[0]:.2f} % of the {WITHIN:g} s after each, for {shares[1]:.2f} % of all the time")


_figures = Figures()


@pytest.fixture
def figures():
    return _figures


@pytest.fixture
def halts(place, request):
    """Of the machine, watched in the long forms."""
    if not request.config.getoption("--soak"):
        yield None
        return
    with Halts(place) as watched:
        yield watched


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("--soak") and _figures.lines:
        terminalreporter.section("figures")
        for line in _figures.lines:
            terminalreporter.line(line)


def _folder():
    """With a short path: sockets are in it, and a socket's path holds 107 bytes."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="sluice-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def place():
    """A private folder of a test's."""
    yield from _folder()


@pytest.fixture(scope="module")
def shared_place():
    """A private folder of all tests of a file that ask for it."""
    yield from _folder()


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind():
    """When all tests of the file have ended, so has what they started."""
    yield
    listed = subprocess.run(["ps", "--ppid", str(os.getpid()), "--no-headers", "-o", "pid,stat,args"], capture_output=True, text=True).stdout
    left = [line for line in listed.splitlines() if " ps --ppid " not in f" {line}" and line.split()[1][0] != "Z"]
    assert not left, f"still running: {left}"


@pytest.fixture(scope="session")
def testpmd_memory():
    """Hugepages for two testpmd processes at a time."""
    with hugepages.reserved(2 * testpmd.HUGEPAGES):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    folders = [getattr(item, "funcargs", {}).get(name) for name in ("place", "shared_place")]
    for directory in folders if report.when != "teardown" and report.failed else ():
        for log in sorted(directory.glob("*.log")) if directory else ():
            report.sections.append((log.name, log.read_text(errors="replace")[-LOG_TAIL:]))
