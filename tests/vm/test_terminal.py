"""`sluice show` on a terminal, a real one: colour, redrawing and Ctrl-C. And none of it where there is no terminal."""

import contextlib
import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time

import pytest

from process import wait_until
from switch import BINARY, Switch, vhost_port

COLOUR = re.compile(r"\033\[[0-9;]*m")
REDRAW = "\033[H\033[2J"


class Terminal:
    """A program of which it is the controlling terminal."""

    def __init__(self, command, **env):
        self.far, near = pty.openpty()
        environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        self.child = subprocess.Popen(command, stdin=near, stdout=near, stderr=near, start_new_session=True, close_fds=True,
                                      env={**environment, "TERM": "xterm", **env},
                                      preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(near)
        self.shown = ""

    def read(self, seconds=0.05):
        """Takes up what was written; whether there may be more."""
        if not select.select([self.far], [], [], seconds)[0]:
            return True
        try:
            self.shown += os.read(self.far, 65536).decode()
        except OSError:  # EIO: the program has closed its terminal
            return False
        return True

    def wait_for(self, wanted, what):
        def found():
            self.read()
            return wanted(self.shown)
        return wait_until(found, what, 20)

    def press(self, key):
        os.write(self.far, key)

    def wait(self):
        """Until the program ends: its exit code."""
        deadline = time.monotonic() + 20
        while self.read():
            assert time.monotonic() < deadline, f"it does not end:\n{self.shown[-2000:]}"
        return self.child.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self.child.kill()
        self.child.wait()
        os.close(self.far)


@pytest.fixture(scope="module")
def switch(shared_place):
    with Switch(shared_place, {"ports": [vhost_port("vm1", shared_place / "vm1.sock")]}) as running:
        running.wait_ready()
        yield running


def show(switch, *words):
    return [BINARY, "show", *words, "--socket", switch.socket]


def test_ports_have_colour_on_a_terminal_and_the_same_words_without(switch):
    with Terminal(show(switch, "ports")) as terminal:
        assert terminal.wait() == 0
    assert COLOUR.search(terminal.shown) and REDRAW not in terminal.shown
    plain = switch.cli("show", "ports").stdout
    assert "\033" not in plain and "vm1" in plain
    assert COLOUR.sub("", terminal.shown).replace("\r\n", "\n") == plain


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_a_terminal_that_is_to_have_no_colour_has_none(switch, env):
    with Terminal(show(switch, "ports"), **env) as terminal:
        assert terminal.wait() == 0
    assert "vm1" in terminal.shown and "\033" not in terminal.shown


def test_an_empty_no_color_refuses_nothing(switch):
    with Terminal(show(switch, "ports"), NO_COLOR="") as terminal:
        assert terminal.wait() == 0
    assert COLOUR.search(terminal.shown)


def test_watched_on_a_terminal_it_is_drawn_anew_until_ctrl_c(switch):
    with Terminal(show(switch, "ports", "--watch", "0.1")) as terminal:
        terminal.wait_for(lambda shown: shown.count(REDRAW) >= 3, "it is drawn three times")
        assert terminal.child.poll() is None
        terminal.press(b"\x03")
        assert terminal.wait() == 0, terminal.shown
    before, *screens = terminal.shown.split(REDRAW)
    assert before == ""
    for screen in screens[:2]:
        assert re.search(r"sluice show ports, every 0\.1 s; Ctrl-C ends", screen) and "vm1" in screen


def test_watched_into_a_pipe_it_is_one_after_the_other_without_colour(switch):
    with subprocess.Popen(show(switch, "ports", "--watch", "0.1"), stdout=subprocess.PIPE, text=True) as watching:
        try:
            lines = [watching.stdout.readline() for _ in range(12)]
        finally:
            watching.send_signal(2)
        rest, _ = watching.communicate(timeout=20)
        assert watching.returncode == 0
    assert sum("vm1" in line for line in lines) >= 2
    assert "\033" not in "".join(lines) + rest
