"""Work: what one row of the comparison has a switch do. The same for every contender; how each is told is its own file.

The first part of a row is what is measured, the last what is asked for: Sluice's cycles a packet over OVS's, at most.
"""

from __future__ import annotations

import dataclasses

# A rule that both switches have to read whole IPv4 addresses for. The mask is that of the host part, which is no prefix:
# OVS keeps tries of address prefixes, with which it would see that a /32 rule cannot concern most packets, and not look further.
READS_ADDRESSES = tuple(f"priority=10,ip,{field}=0.250.250.250/0.255.255.255,actions=drop" for field in ("nw_src", "nw_dst"))
# The same question as operators usually put it; OVS's tries answer it for whole prefixes at once, here by the first few
# bits, since no VM is in 10.0.0.0/8: the form that is best for OVS.
HOST_RULES = ("priority=10,ip,nw_src=10.250.250.250,actions=drop", "priority=10,ip,nw_dst=10.250.250.250,actions=drop")


@dataclasses.dataclass(frozen=True)
class Work:
    name: str                       # in files, and for --only
    title: str                      # in the table
    target: float | None = None     # Sluice / OVS at most
    below_testpmd: bool = False     # and fewer cycles than testpmd
    own_target: float = 0.0         # and at most so many times Sluice's own cost of one flow, measured beside it
    size: str = "64"                # bytes without FCS, or imix
    tso: int = 0                    # bytes of TSO frames, in place of size
    window: int = 0                 # frames of each VM that are on their way at once; 0: as many as rings take
    vms: int = 2
    pattern: str = "pairs"          # of vmgen; echo: one VM to a device and back
    flows: int = 1                  # a direction
    packed: bool = False
    rules: tuple[str, ...] = ()
    ovs: str = "normal"             # how OVS is configured, in words, and in its other_config
    ovs_config: tuple[tuple[str, str], ...] = ()
    ovs_flow_limit: bool = True     # OVS may have as many flows as there are; False: what it allows by default
    vms_listen: bool = False        # the VMs make the sockets, and the contenders connect: OVS offers TSO then only
    testpmd: bool = True            # whether testpmd takes part, which has no table and forwards between pairs of ports
    quick: bool = True              # in the short form too
    in_order: bool = True           # the VMs ask for IN_ORDER, as DPDK's do and Linux's do not
    verified: bool = False          # before the rounds, each contender has each byte of such frames looked at
    warm_up: float = 0.0            # seconds more, until all flows are there
    ovs_warm_up: float = 0.0        # and more for OVS, which installs some 30,000 a second

    @property
    def idle_timeout(self) -> int:
        """Seconds until a flow without packets goes: none is to, while others come."""
        return 60 if self.flows >= 100_000 else 10

    @property
    def traffic(self) -> list[str]:
        """For vmgen."""
        frames = [f"--tso={self.tso}", "--protocol=tcp"] if self.tso else [f"--size={self.size}"]
        order = [] if self.in_order else ["--no-in-order"]
        window = [f"--window={self.window}"] if self.window else []
        return [*frames, *order, *window, f"--pattern={self.pattern}", f"--flows={self.flows}"]

    @property
    def quick_testpmd(self) -> bool:
        """Whether testpmd takes part in the short form."""
        return self.testpmd and self.name in ("64", "64-packed")

    @property
    def on_flow_plot(self) -> bool:
        """As a point of the line of its rules; a single flow without rules is where both lines begin."""
        return self.name == "64" or (self.rules in (READS_ADDRESSES, HOST_RULES) and self.ovs_flow_limit)

    @property
    def has_device(self) -> bool:
        return self.pattern == "echo"


IPV4 = "rules that read IPv4 addresses"
MASKED = "normal, 2 rules on addresses"
# At the default of 100, few of a thousand flows' packets come by the EMC in the first seconds; for more flows than it
# holds it makes no difference.
QUICK_EMC = (("emc-insert-inv-prob", "10"),)
WORKS = (
    Work("64", "64 B, 1 flow, split", 0.50, below_testpmd=True),
    Work("64-packed", "64 B, 1 flow, packed", 0.55, packed=True),
    Work("64-any-order", "64 B, 1 flow, split, VMs without IN_ORDER", 0.50, in_order=False, testpmd=False, quick=False),
    Work("512", "512 B", 0.55, size="512", quick=False),
    Work("imix", "IMIX", 0.55, size="imix"),
    Work("1518", "1518 B", 0.70, size="1518", quick=False, verified=True),
    Work("flows-1k", f"64 B, 2 × 1,000 flows, {IPV4}", 0.45, flows=1_000, rules=READS_ADDRESSES, ovs=f"{MASKED}, emc-insert-inv-prob=10",
         ovs_config=QUICK_EMC),
    Work("flows-10k", "2 × 10,000", 0.40, flows=10_000, rules=READS_ADDRESSES, ovs=f"{MASKED}, emc-insert-inv-prob=10",
         ovs_config=QUICK_EMC, warm_up=3, quick=False),
    Work("flows-100k", "2 × 100,000", 0.10, flows=100_000, rules=READS_ADDRESSES, ovs=MASKED, warm_up=3, ovs_warm_up=7),
    Work("flows-100k-limit", "… with OVS's flow-limit as it is by default", flows=100_000, rules=READS_ADDRESSES, ovs=f"{MASKED}; flow-limit as it is",
         ovs_flow_limit=False, testpmd=False, warm_up=3, ovs_warm_up=27, quick=False),
    Work("flows-500k", "2 × 500,000", own_target=2.0, flows=500_000, rules=READS_ADDRESSES, ovs=MASKED, warm_up=8, ovs_warm_up=62, quick=False),
    Work("flows-1k-tries", "64 B, 2 × 1,000 flows, the rules on /32", 0.45, flows=1_000, rules=HOST_RULES, ovs=f"{MASKED}, emc-insert-inv-prob=10",
         ovs_config=QUICK_EMC, testpmd=False, quick=False),
    Work("flows-10k-tries", "2 × 10,000, the rules on /32", 0.40, flows=10_000, rules=HOST_RULES, ovs=f"{MASKED}, emc-insert-inv-prob=10",
         ovs_config=QUICK_EMC, testpmd=False, warm_up=1, quick=False),
    Work("flows-100k-tries", "2 × 100,000, the rules on /32", 0.10, flows=100_000, rules=HOST_RULES, ovs=MASKED, testpmd=False, warm_up=3, quick=False),
    Work("flows-500k-tries", "2 × 500,000, the rules on /32", flows=500_000, rules=HOST_RULES, ovs=MASKED, testpmd=False, warm_up=8, quick=False),
    Work("tso", "64 KB TSO frames", 0.70, tso=65_000, ovs="normal, userspace-tso-enable", vms_listen=True, quick=False),
    # A MiB, as TCP has on its way; of a ring's 1,024 buffers of 4 KiB it takes a quarter.
    Work("tso-window", "64 KB TSO frames, 16 of each VM on their way", 0.70, tso=65_000, window=16, ovs="normal, userspace-tso-enable", vms_listen=True,
         quick=False),
    Work("mesh", "4 VMs, each to each, 64 B", 0.55, vms=4, pattern="each", testpmd=False),
    Work("flood", "flood to 8 ports", 0.60, vms=9, pattern="flood", testpmd=False),
    Work("device", "VM to ethdev and back (net_ring)", 0.80, vms=1, pattern="echo", ovs="output rules, 2 Rx queues of the device"),
)
