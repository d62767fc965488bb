"""`make demo`: two Linux VMs talk through the switch, and the switch shows what it saw. Ends by itself.

Usage: demo.py SLUICE CONFIG. The configuration's first two vhost-user ports get a VM each.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import shutil
import subprocess
import sys
import time

import yaml

from guest import Guest, Nic, transfer
from process import Program, wait_until

ADDRESSES = ("10.0.0.1", "10.0.0.2")
MEGABYTES = 8


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


class Operator:
    """Runs the switch's own commands and shows them as a person would see them."""

    def __init__(self, sluice: str, socket: str):
        self.sluice, self.socket = sluice, socket

    def run(self, *arguments: str, check: bool = True) -> str:
        return subprocess.run([self.sluice, *arguments, "--socket", self.socket], check=check, capture_output=True, text=True).stdout

    def show(self, *arguments: str) -> None:
        print(f"$ sluice {' '.join(arguments)}")
        print(self.run(*arguments).rstrip(), flush=True)

    def answers(self) -> bool:
        return subprocess.run([self.sluice, "show", "status", "--socket", self.socket], capture_output=True).returncode == 0


def boot(directory: pathlib.Path, stack: contextlib.ExitStack, ports: list[dict]) -> list[Guest]:
    guests = []
    for number, port in enumerate(ports, 1):
        nic = Nic(pathlib.Path(port["path"]), f"52:54:00:00:00:{number:02x}", server=port.get("mode", "client") == "client")
        guests.append(stack.enter_context(Guest(directory, f"guest-{port['name']}", nic)))
    for guest, address in zip(guests, ADDRESSES):
        guest.wait_booted(f"{address}/24")
    return guests


def ping(one: Guest) -> str:
    text = one.run(f"ping -c 5 -i 0.2 {ADDRESSES[1]}", seconds=30)
    print(text.rstrip(), flush=True)
    received = int(re.search(r"(\d+) packets received", text).group(1))
    fastest = re.search(r"min/avg/max = ([\d.]+)", text).group(1)
    assert received == 5, f"{5 - received} of 5 pings were lost"
    return f"5 of 5 pings were answered, the fastest after {fastest} ms"


def send_file(one: Guest, two: Guest) -> str:
    digest = transfer(one, two, ADDRESSES[1], MEGABYTES << 20)
    errors = two.received_checksum_errors()
    assert errors == 0, f"{errors} checksum errors"
    print(f"sent and received {MEGABYTES} MiB, sha256 {digest[:16]}… at both ends")
    return f"{MEGABYTES} MiB over TCP arrived as they were sent, without a checksum error"


def main(sluice: str, config_path: str) -> None:
    begin = time.monotonic()
    config = yaml.safe_load(pathlib.Path(config_path).read_text())
    ports = [port for port in config["ports"] if port["type"] == "vhost-user"][:2]
    socket = config["control"]["socket"]
    directory = pathlib.Path(socket).parent
    operator = Operator(sluice, socket)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    outcome = []
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        say(f"The switch starts, from {config_path}")
        switch = stack.enter_context(Program("switch", [sluice, "run", config_path], directory))
        wait_until(lambda: operator.answers() or not switch.running(), "the switch answers", 30)
        assert switch.running(), switch.log()
        operator.show("show", "status")

        say(f"Two VMs boot Linux and attach to {ports[0]['name']} and {ports[1]['name']}")
        one, two = boot(directory, stack, ports)
        print(f"{ports[0]['name']} is {ADDRESSES[0]}, {ports[1]['name']} is {ADDRESSES[1]}; "
              f"kernel {one.run('uname -r').strip()}, driver virtio_net", flush=True)

        say(f"{ports[0]['name']} pings {ports[1]['name']}")
        outcome.append(ping(one))
        say(f"{ports[0]['name']} sends {ports[1]['name']} a file over TCP, with segmentation and checksums left to the switch")
        outcome.append(send_file(one, two))

        for what in ("ports", "flows", "fdb", "pmds", "drops"):
            say({"ports": "What the switch saw: its ports", "flows": "… the flows, as its table has them", "fdb": "… who is where",
                 "pmds": "… what its poll-mode thread did", "drops": "… what it dropped, and why"}[what])
            operator.show("show", what)
        say("… and what it would do with a packet")
        operator.show("trace", f"in_port={ports[0]['name']},tcp,dl_src={one.nic.mac},dl_dst={two.nic.mac},tp_dst=22")

    say("Summary")
    for line in outcome:
        print(f"  {line}")
    print(f"  The demo took {time.monotonic() - begin:.0f} s; switch and VMs have ended, nothing is left behind.")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} SLUICE CONFIG")
    main(*sys.argv[1:])
