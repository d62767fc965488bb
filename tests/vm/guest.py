"""Guest: Linux in QEMU with one virtio-net device on vhost-user."""

from __future__ import annotations

import dataclasses
import pathlib
import re

import guest_image
from linux import Linux
from process import wait_until

MEGABYTES = 192


@dataclasses.dataclass
class Nic:
    """`server`: QEMU listens on the socket and the switch connects; else it connects, and again if `reconnect`. `device`:
    more properties of virtio-net-pci."""
    path: pathlib.Path
    mac: str
    server: bool = True
    queues: int = 1
    device: str = ""
    reconnect: bool = True


class Guest(Linux):
    def __init__(self, directory: pathlib.Path, name: str, nic: Nic, *, arguments: tuple[str, ...] = (), kernel_arguments: str = ""):
        """`arguments`: more of QEMU's. `kernel_arguments`: more for the guest's kernel."""
        guest_image.ensure()
        self.nic = nic
        socket = f"socket,id=nic,path={nic.path}," + ("server=on,wait=off" if nic.server else f"reconnect={int(nic.reconnect)}")
        # vectors=0: with MSI-X, QEMU 7.2 without KVM dies when the driver takes a vhost-user device into use.
        device = f"virtio-net-pci,netdev=nic,vectors=0,mac={nic.mac}" + (f",mq=on" if nic.queues > 1 else "") + nic.device
        super().__init__(directory, name, guest_image.initrd(), [
            "-smp", nic.queues, "-m", MEGABYTES,
            "-object", f"memory-backend-memfd,id=memory,size={MEGABYTES}M,share=on", "-numa", "node,memdev=memory",
            "-chardev", socket, "-netdev", f"vhost-user,id=nic,chardev=nic,vhostforce=on,queues={nic.queues}",
            "-device", device, *arguments], kernel_arguments=kernel_arguments)

    def wait_booted(self, address: str | None = None) -> None:
        """Up to a shell; with `address` (10.0.0.1/24), eth0 is up and has it."""
        self.wait_shell()
        if address:
            self.run(f"ip addr add {address} dev eth0 && ip link set eth0 up")

    def pings(self, address: str, count: int = 3, size: int = 56) -> int:
        """How many of `count` pings with `size` bytes each are answered."""
        text = self.run(f"ping -c {count} -i 0.2 -W 2 -s {size} {address}", seconds=5 + 3 * count, check=False)
        return int(re.search(r"(\d+) packets received", text).group(1)) if "packets received" in text else 0

    def snmp(self, protocol: str) -> dict[str, int]:
        """The guest kernel's counters of 'Ip', 'Tcp', 'Udp', ..."""
        lines = [line.split()[1:] for line in self.run("cat /proc/net/snmp").splitlines() if line.startswith(f"{protocol}:")]
        return dict(zip(lines[0], map(int, lines[1])))

    def offloads(self) -> dict[str, bool]:
        """Of eth0, as ethtool names them."""
        return {name: state == "on" for name, state in re.findall(r"^\s*([\w-]+): (on|off)", self.run("ethtool -k eth0"), re.MULTILINE)}

    def received_checksum_errors(self) -> int:
        """TCP segments that arrived with a wrong checksum."""
        return self.snmp("Tcp")["InCsumErrors"]


def transfer(sender: Guest, receiver: Guest, address: str, size: int) -> str:
    """Sends `size` random bytes (a multiple of 1024) over TCP to the receiver's address; returns their digest, equal at both ends."""
    # An input that never ends: nc hangs up when its input does.
    receiver.run("test -p /tmp/endless || mkfifo /tmp/endless; nc -l -p 5000 0<>/tmp/endless >/tmp/got & "
                 "until netstat -ltn | grep -q :5000; do sleep 0.05; done")
    sender.run(f"dd if=/dev/urandom of=/tmp/sent bs=1024 count={size // 1024} 2>/dev/null", seconds=60)
    sender.run(f"nc {address} 5000 </tmp/sent", seconds=60)
    sent = sender.run("sha256sum </tmp/sent")
    wait_until(lambda: receiver.run("sha256sum </tmp/got") == sent, f"{size} bytes have arrived as they were sent", 20, interval=0.2)
    return sent.split()[0]
