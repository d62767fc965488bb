"""Reports: what a running switch says of itself, wherever it runs."""

from __future__ import annotations

import contextlib

from process import wait_until


class Reports:
    """For whoever can ask a switch: rpc() is theirs."""

    def rpc(self, method: str, **params):
        """OSError or ValueError while the switch does not answer."""
        raise NotImplementedError

    @property
    def worker_pid(self) -> int:
        """The process that is the switch."""
        return self.rpc("status")["pid"]

    def wait_other_worker(self, than: int) -> None:
        def other():
            with contextlib.suppress(OSError, ValueError):
                return self.worker_pid != than
        wait_until(other, "another worker answers", 30)

    def ports(self) -> dict[str, dict]:
        return {port["name"]: port for port in self.rpc("ports")["ports"]}

    def drops(self) -> dict[tuple[str, str], int]:
        return {(drop["port"], drop["reason"]): drop["packets"] for drop in self.rpc("drops")["drops"]}

    def fdb(self) -> dict[tuple[int, str], str]:
        return {(entry["vlan"], entry["mac"]): entry["port"] for entry in self.rpc("fdb")["fdb"]}

    def wait_link(self, *names: str, up: bool = True, seconds: float = 20.0) -> None:
        def linked():
            ports = self.ports()
            return all(ports[name]["link_up"] == up for name in names)
        wait_until(linked, f"link {'up' if up else 'down'} at {', '.join(names)}", seconds)

    def wait_at_rest(self) -> dict[str, dict]:
        """Waits until no counter moves any more; returns the ports."""
        before: dict = {}

        def still():
            nonlocal before
            now = self.ports()
            counts = {name: {key: value for key, value in port.items() if key.endswith(("packets", "dropped"))} for name, port in now.items()}
            same, before = counts == before, counts
            return same and now
        return wait_until(still, "the switch is at rest", 10, interval=0.2)

    def assert_accounts_for_every_frame(self) -> None:
        """At rest, and where no frame was copied or segmented: frames in = frames out + frames dropped."""
        ports = self.wait_at_rest()
        taken = sum(port["rx_packets"] for port in ports.values())
        given = sum(port["tx_packets"] for port in ports.values())
        drops = self.drops()
        assert taken == given + sum(drops.values()), f"{taken} frames in, {given} out, dropped: {drops}"
