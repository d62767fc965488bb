"""A front end that makes a PMD wait, in a write to the ring's call eventfd: it costs its port the connection."""

import fcntl
import os

import pytest

from hostile import TX, HostileGuest
from process import wait_until
from switch import Switch, vhost_port
from vhost_user import Closed, Request


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_a_blocking_callfd_that_is_full_costs_its_port_the_connection_and_a_growing_while(place, packed):
    path = place / "evil.sock"
    with Switch(place, {"ports": [vhost_port("evil", path, "server")]}) as switch:
        switch.wait_ready()
        for seconds in (1, 2):
            guests: list[HostileGuest] = []

            def attached():
                try:
                    guests.append(HostileGuest(path, packed=packed))
                except (Closed, OSError):
                    return False
                return True

            wait_until(attached, "the port takes a connection again", 10)
            with guests[0] as evil:
                full = os.eventfd(0)
                os.eventfd_write(full, (1 << 64) - 2)  # one more and a write would block
                evil.front_end.vring_fd(Request.SET_VRING_CALL, TX, full)
                evil.front_end.ask(Request.GET_FEATURES)
                fcntl.fcntl(full, fcntl.F_SETFL, 0)  # the flags are the switch's too
                evil.send(b"\xff" * 60)
                evil.front_end.wait_closed()
                os.close(full)
            assert switch.ports()["evil"]["state"] == "held off"
            assert f"nobody may connect for {seconds} s" in switch.log()
