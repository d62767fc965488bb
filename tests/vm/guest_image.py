"""The Linux guest: Debian's cloud kernel, and an initramfs of busybox, ethtool and the virtio modules.

The kernel's package is downloaded and unpacked, never installed. Made once, in build/guest.
"""

from __future__ import annotations

import gzip
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

IMAGE = pathlib.Path(__file__).resolve().parents[2] / "build" / "guest"
# In the order they are loaded.
MODULES = ("failover", "net_failover", "virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci",
           "virtio_net",
           "virtio_console")
TOOLS = ("/usr/sbin/ethtool",)

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


def kernel() -> pathlib.Path:
    return IMAGE / "vmlinuz"


def initrd() -> pathlib.Path:
    return IMAGE / "initrd.gz"


def ensure() -> None:
    """Makes the image unless it is there and newer than this recipe."""
    recipe = pathlib.Path(__file__).stat().st_mtime
    if all(file.exists() and file.stat().st_mtime >= recipe for file in (kernel(), initrd())):
        return
    IMAGE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        unpacked = _unpacked_kernel()
        root = directory / "root"
        _fill(root, unpacked)
        _pack(root, directory / "initrd.gz")
        shutil.copy(next(unpacked.glob("boot/vmlinuz-*")), directory / "vmlinuz")
        for file in ("vmlinuz", "initrd.gz"):
            # Copied beside, then renamed: two that make the image at once do not see half of each other's.
            shutil.copy(directory / file, IMAGE / f".{file}.{os.getpid()}")
            os.replace(IMAGE / f".{file}.{os.getpid()}", IMAGE / file)


def _unpacked_kernel() -> pathlib.Path:
    unpacked = IMAGE / "kernel"
    if unpacked.exists():
        return unpacked
    depends = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], check=True, capture_output=True, text=True).stdout
    package = re.search(r"Depends: (linux-image-\S+)", depends).group(1)
    with tempfile.TemporaryDirectory(dir=IMAGE) as name:
        subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=name, check=True)
        deb = next(pathlib.Path(name).glob("*.deb"))
        subprocess.run(["dpkg", "-x", deb, f"{name}/kernel"], check=True)
        os.replace(f"{name}/kernel", unpacked)
    return unpacked


def _fill(root: pathlib.Path, unpacked: pathlib.Path) -> None:
    for folder in ("bin", "modules", "proc", "sys", "dev", "tmp", "root"):
        (root / folder).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for module in MODULES:
        shutil.copy(next(unpacked.glob(f"lib/modules/*/kernel/**/{module}.ko")), root / "modules")
    for tool in TOOLS:
        for file in [tool, *_libraries(tool)]:
            target = root / file.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    init = root / "init"
    init.write_text(INIT.format(modules=" ".join(MODULES)))
    init.chmod(0o755)


def _libraries(program: str) -> list[str]:
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def _pack(root: pathlib.Path, to: pathlib.Path) -> None:
    names = subprocess.run(["find", ".", "-print0"], cwd=root, check=True, capture_output=True).stdout
    archive = subprocess.run(["cpio", "--null", "--create", "--quiet", "--format=newc", "--owner=0:0"], cwd=root, input=names,
                             check=True, capture_output=True).stdout
    with gzip.open(to, "wb", compresslevel=6) as file:
        file.write(archive)


if __name__ == "__main__":
    ensure()
