"""Two Linux guests over one switch: ports vm1 and vm2, an address each."""

from __future__ import annotations

import contextlib

from guest import Guest, Nic
from switch import Switch, vhost_port

MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02")
ADDRESSES = ("10.0.0.1", "10.0.0.2")


def config(place, mode="client", **each):
    return {"ports": [vhost_port(f"vm{i}", place / f"vm{i}.sock", mode, **{k: v[i - 1] for k, v in each.items()}) for i in (1, 2)]}


def guest(place, number, mode="client", arguments=(), **nic):
    return Guest(place, f"guest{number}", Nic(place / f"vm{number}.sock", MACS[number - 1], server=mode == "client", **nic),
                 arguments=arguments)


@contextlib.contextmanager
def two_guests(place, mode="client", device=("", ""), queues=1, **each):
    """The switch and two guests, booted, with an address each."""
    with Switch(place, config(place, mode, **each)) as switch:
        switch.wait_ready()
        with guest(place, 1, mode, device=device[0], queues=queues) as one, guest(place, 2, mode, device=device[1], queues=queues) as two:
            for each_guest, address in zip((one, two), ADDRESSES):
                each_guest.wait_booted(f"{address}/24")
            switch.wait_link("vm1", "vm2")
            yield switch, one, two
