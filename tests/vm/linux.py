"""Linux: Debian's kernel in QEMU, driven through a virtio console. No KVM needed.

It boots on whatever CPU has time: two that boot one beside the other take half as long. Then it
leaves the PMD its own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import re

import initramfs
from process import OTHER_CPUS, Program, Timeout, wait_until


class GuestError(AssertionError):
    """A command failed in the guest."""


class Linux(Program):
    def __init__(self, directory: pathlib.Path, name: str, initrd: pathlib.Path, hardware: list[str], *, devices: tuple[str, ...] = (),
                 kernel_arguments: str = "", logs: tuple[str, ...] = (), cpu: int | None = OTHER_CPUS):
        """`hardware`: QEMU's arguments, memory and processors included. `devices`: those that come behind the console's.
        `kernel_arguments`: more for the kernel. `logs`: what the guest writes to /dev/hvc1, hvc2, ... goes to files of these
        names. `cpu`: where it runs once it has booted; None: anywhere."""
        self._cpu = cpu
        self._marks = itertools.count()
        self._kernel_log = directory / f"{name}.kernel.log"
        # no_timer_check: emulated on a busy machine, the timer that the kernel counts on at boot may be late, and it would panic.
        super().__init__(name, [
            "qemu-system-x86_64", "-name", name, "-accel", "tcg", "-cpu", "max", "-no-reboot",
            "-nodefaults", "-display", "none", "-serial", f"file:{self._kernel_log}", *hardware,
            "-chardev", "stdio,id=console", "-device", "virtio-serial-pci", "-device", "virtconsole,chardev=console",
            *(word for log in logs for word in ("-chardev", f"file,id={log},path={directory / log}.log", "-device", f"virtconsole,chardev={log}")),
            *devices, "-kernel", initramfs.kernel(), "-initrd", initrd,
            "-append", f"console=ttyS0 quiet panic=-1 no_timer_check {kernel_arguments}"], directory, cpu=None)
        if "-incoming" in hardware:  # it has booted elsewhere
            self._leave_the_pmds_cpu()

    def wait_shell(self) -> None:
        self.wait_for_log("guest is ready\n", 90)
        self._leave_the_pmds_cpu()

    def _leave_the_pmds_cpu(self) -> None:
        if self._cpu is not None:
            for thread in os.listdir(f"/proc/{self.pid}/task"):
                with contextlib.suppress(ProcessLookupError):  # QEMU's workers come and go
                    os.sched_setaffinity(int(thread), {self._cpu})

    def run(self, command: str, seconds: float = 20.0, check: bool = True) -> str:
        """Runs a line of shell in the guest and returns what it printed."""
        mark = f"<end-{next(self._marks)}>"
        before = len(self.log())
        self.write(f"{{ {command}\n}} 2>&1; echo \"{mark}$?\"\n")

        def ended():
            text = self.log()[before:]
            assert self.running(), f"{self.name} ended with {self.child.returncode}:\n{self.log()[-4000:]}"
            return re.search(rf"(.*){mark}(\d+)\n", text, re.DOTALL)
        try:
            found = wait_until(ended, f"{self.name} runs '{command}'", seconds)
        except Timeout as timeout:
            # What the kernel has to say of a processor or a process that stands still, too.
            raise Timeout(f"{timeout}\n{self.log()[-2000:]}\n{self._kernel_log.read_text(errors='replace')[-2000:]}") from None
        if check and found.group(2) != "0":
            raise GuestError(f"{self.name}: '{command}' returned {found.group(2)}:\n{found.group(1)}")
        return found.group(1)
