"""The keeper and a service manager that does not read for a while: what it is told waits, and the keeper does not."""

import array
import os
import re
import socket

import pytest

from keepers import Keeper, WAITS, waits

# More than the socket takes at once, so that the rest has to wait.
KEPT = 300
KEEPS = WAITS + f"""
settings()
for index in range({KEPT}): say(KEEP, slot=1, kind=KICK, index=index, fd=0)
for index in range(0, {KEPT}, 2): say(FORGET, slot=1, kind=KICK, index=index)
say(RUNNING); note("runs"); until_told_to_end()
"""


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        yield manager


def read_all(manager, store: dict) -> list[str]:
    """What waits there, carried out as systemd does: `store` has which names have a descriptor."""
    said = []
    while True:
        try:
            text, ancillary, _, _ = manager.recvmsg(4096, socket.CMSG_SPACE(16))
        except BlockingIOError:
            return said
        fds = array.array("i", b"".join(data for _, _, data in ancillary))
        for fd in fds:
            os.close(fd)
        said.append(text.decode())
        if name := re.search(r"FDNAME=(.*)", said[-1]):
            if "FDSTOREREMOVE" in said[-1]:
                store.pop(name[1], None)
            else:
                assert len(fds) == 1 and name[1] not in store
                store[name[1]] = True


def test_what_it_keeps_is_what_the_keeper_has_however_long_it_did_not_read(tmp_path, manager):
    with Keeper(tmp_path, KEEPS, env={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as keeper:
        keeper.waits_for("worker runs")
        keeper.waits_for("is running")
        store, said = {}, []

        def told():
            said.extend(read_all(manager, store))
            return "READY=1\nSTATUS=Switching" in said
        waits(told, "it is told that the switch is ready")
        # What was forgotten before it was read was never said, or taken back.
        assert sorted(store) == sorted(["config", "4294967295-64-0", *(f"1-4-{index}" for index in range(1, KEPT, 2))])
        assert "was not told" not in keeper.log()
        assert keeper.ends() == 0
        assert any("STOPPING=1" in text for text in read_all(manager, store))
