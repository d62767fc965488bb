"""What Linux in QEMU boots: Debian's cloud kernel, and an initramfs of busybox, some of that kernel's modules, and programs.

The kernel's package is downloaded and unpacked, never installed. That is done once, in build/guest.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

LIBRARIES = pathlib.Path("/usr/lib/x86_64-linux-gnu")
IMAGE = pathlib.Path(__file__).resolve().parents[2] / "build" / "guest"

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
# Addresses are used at once, not after a second of asking around.
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
for module in {modules}; do insmod /modules/$module.ko; done
ip link set lo up
# Commands come and answers go by the virtio console, which QEMU announces when it finds the time; the serial line is
# the kernel's.
until [ -c /dev/hvc0 ]; do sleep 0.1; done
exec </dev/hvc0 >/dev/hvc0 2>&1
stty raw -echo
echo guest is ready
# As a script, which has no prompt; and its commands do not read from where it comes.
sh /dev/hvc0 </dev/null
"""

VIRTIO = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci")


@dataclasses.dataclass(frozen=True)
class Contents:
    """`modules`: in the order they are loaded. `programs`: files that come with the libraries that they need, at the places
    where they are on this machine; those of `moved` (from, to) at others, without what only debuggers read."""
    modules: tuple[str, ...]
    programs: tuple[str, ...] = ()
    moved: tuple[tuple[pathlib.Path, str], ...] = ()


def kernel() -> pathlib.Path:
    return next(_unpacked_kernel().glob("boot/vmlinuz-*"))


def _unpacked_kernel() -> pathlib.Path:
    unpacked = IMAGE / "kernel"
    if unpacked.exists():
        return unpacked
    IMAGE.mkdir(parents=True, exist_ok=True)
    depends = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], check=True, capture_output=True, text=True).stdout
    package = re.search(r"Depends: (linux-image-\S+)", depends).group(1)
    with tempfile.TemporaryDirectory(dir=IMAGE) as name:
        subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=name, check=True)
        deb = next(pathlib.Path(name).glob("*.deb"))
        subprocess.run(["dpkg", "-x", deb, f"{name}/kernel"], check=True)
        os.replace(f"{name}/kernel", unpacked)
    return unpacked


def archive(contents: Contents) -> bytes:
    """The initramfs, not compressed."""
    unpacked = _unpacked_kernel()
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        # As Debian has them: what is found by /lib and by /usr/lib is one file.
        for folder in ("bin", "sbin", "lib", "lib64"):
            (root / "usr" / folder).mkdir(parents=True)
            (root / folder).symlink_to(f"usr/{folder}")
        for folder in ("modules", "proc", "sys", "dev", "tmp", "run", "root"):
            (root / folder).mkdir()
        (root / "var").mkdir()
        (root / "var/run").symlink_to("/run")
        shutil.copy("/bin/busybox", root / "bin/busybox")
        for module in contents.modules:
            shutil.copy(next(unpacked.glob(f"lib/modules/*/kernel/**/{module}.ko")), root / "modules")
        copies = _Copies(root)
        for program in contents.programs:
            copies.add(pathlib.Path(program))
        for source, target in contents.moved:
            subprocess.run(["strip", "-o", root / target.lstrip("/"), source], check=True)
        for file in (*contents.programs, *(source for source, _ in contents.moved)):
            for library in _libraries(file):
                if "dpdk" in library.parts:
                    # Drivers that a program is linked with go where libraries are: what is in DPDK's own folder, it loads.
                    copies.put(library.resolve(), LIBRARIES / library.name)
                else:
                    copies.add(library)
        init = root / "init"
        init.write_text(INIT.format(modules=" ".join(contents.modules)))
        init.chmod(0o755)
        return _packed(root)


def _libraries(program: str | pathlib.Path) -> list[pathlib.Path]:
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return [pathlib.Path(found) for found in re.findall(r"(/\S+) \(0x", listed)]


class _Copies:
    """Files of this machine in `root`. Links stay links, hard ones too: a library that is there twice would be loaded twice."""

    def __init__(self, root: pathlib.Path):
        self._root = root
        self._made: dict[tuple[int, int], pathlib.Path] = {}

    def add(self, file: pathlib.Path) -> None:
        """At its own place, and so what it is a link to."""
        if not file.is_symlink():
            return self.put(file, file)
        target = self._place(file)
        if target is not None:
            target.symlink_to(os.readlink(file))
            self.add(pathlib.Path(os.path.normpath(file.parent / os.readlink(file))))

    def put(self, file: pathlib.Path, at: pathlib.Path) -> None:
        target = self._place(at)
        if target is None:
            return
        status = file.stat()
        first = self._made.setdefault((status.st_dev, status.st_ino), target)
        shutil.copy(file, target) if first == target else os.link(first, target)

    def _place(self, at: pathlib.Path) -> pathlib.Path | None:
        """Where to make it; None if it is there."""
        target = self._root / at.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        return None if target.is_symlink() or target.exists() else target


def _packed(root: pathlib.Path) -> bytes:
    names = subprocess.run(["find", ".", "-print0"], cwd=root, check=True, capture_output=True).stdout
    return subprocess.run(["cpio", "--null", "--create", "--quiet", "--format=newc", "--owner=0:0"], cwd=root, input=names,
                          check=True, capture_output=True).stdout


def put(content: bytes, file: pathlib.Path) -> None:
    """Written beside, then renamed: two that make the same file at once do not see half of each other's."""
    beside = file.parent / f".{file.name}.{os.getpid()}"
    beside.write_bytes(content)
    os.replace(beside, file)
