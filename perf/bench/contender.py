"""Contender: a switch that does a piece of work, started for it and ended after it. What all of them answer alike.

It listens on its vhost-user sockets and the VMs connect, or the other way round. Its one PMD has core 1 to itself; all
else of it shares core 0 with the VMs.
"""

from __future__ import annotations

import dataclasses
import pathlib

from work import Work

PMD_CORE = 1
OTHER_CORE = 0  # everybody else's


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a contender is to be set up, beside the work it does."""
    vms_listen: bool = False                 # the VMs make the sockets, and the switch connects
    pins: tuple[int, ...] = ()               # the core for each VM's queue; else all are PMD_CORE's
    idle_sleep_us: int = 0                   # for so long at most a PMD without work sleeps; 0: it looks again at once
    idle_timeout: int = 10                   # seconds until a flow without packets goes
    standby: bool = False                    # another worker stands by (Sluice alone)

    @property
    def cores(self) -> list[int]:
        return sorted({PMD_CORE, *self.pins})


@dataclasses.dataclass(frozen=True)
class Reading:
    """Of the PMD on PMD_CORE, over a stretch of time."""
    packets: int             # that were received from queues
    busy_cycles: float       # TSC cycles, by the contender's own account: perf/README.md says what it counts
    per_batch: float         # packets a batch
    busy_share: float        # of the stretch

    @property
    def cycles(self) -> float:
        return self.busy_cycles / self.packets if self.packets else float("nan")


class Contender:
    """A context manager: started on entry, ended on exit. Subclasses say how."""
    name: str
    hugepages: int     # of 2 MiB, that it takes
    executed_at: float  # time.monotonic() just before the program that moves packets was executed

    def __init__(self, directory: pathlib.Path, work: Work, setting: Setting = Setting(), sockets: list[pathlib.Path] | None = None):
        """`sockets`: of the VMs, if they are not to be in `directory`."""
        self.directory = directory
        self.work = work
        self.setting = setting
        self.sockets = sockets or [directory / f"vm{vm + 1}" for vm in range(work.vms)]

    @property
    def warm_up(self) -> float:
        """Seconds that it takes more than the work says until all flows are there."""
        return 0.0

    def clear(self) -> None:
        """A stretch begins."""
        raise NotImplementedError

    def read(self) -> Reading:
        """Of the stretch that began with clear()."""
        raise NotImplementedError

    def flows(self) -> int:
        """In its table, now; 0: it has none."""
        return 0

    def kill(self) -> None:
        """Kills the process that moves packets with -9; it is started again at once, by whoever does so in this contender's case."""
        raise NotImplementedError

    def pids(self) -> list[int]:
        """Of all processes that it is, the one that moves packets first."""
        raise NotImplementedError

    def pmd_waited(self) -> float:
        """Seconds, ever, that the PMD on PMD_CORE wanted to run and something else had its core."""
        tasks = pathlib.Path(f"/proc/{self.pids()[0]}/task")
        found = next(task for task in tasks.iterdir() if (task / "comm").read_text().startswith(("pmd-1", "pmd-c01")))
        return int((found / "schedstat").read_text().split()[1]) / 1e9

    def resident_bytes(self) -> int:
        """Of all of them, hugepages and programs' files included. VMs' memory counts too where it is in hugepages: to be
        asked before they come."""
        return self._bytes("RssAnon", "RssFile", "RssShmem", "HugetlbPages")

    def anonymous_bytes(self) -> int:
        """Resident memory of their own that is neither file nor hugepage."""
        return self._bytes("RssAnon")

    def _bytes(self, *fields: str) -> int:
        return 1024 * sum(int(line.split()[1]) for pid in self.pids() for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                          if line.partition(":")[0] in fields)
