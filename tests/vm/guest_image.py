"""The Linux guest: the kernel and its initramfs, with ethtool and the virtio modules. Made once, in build/guest."""

from __future__ import annotations

import gzip
import pathlib

import initramfs

CONTENTS = initramfs.Contents(modules=("failover", "net_failover", *initramfs.VIRTIO, "virtio_net", "virtio_console"),
                              programs=("/usr/sbin/ethtool",))


def initrd() -> pathlib.Path:
    return initramfs.IMAGE / "initrd.gz"


def ensure() -> None:
    """Makes the image unless it is there and newer than its recipe."""
    recipe = max(pathlib.Path(file).stat().st_mtime for file in (__file__, initramfs.__file__))
    if not initrd().exists() or initrd().stat().st_mtime < recipe:
        initramfs.put(gzip.compress(initramfs.archive(CONTENTS), compresslevel=6), initrd())
