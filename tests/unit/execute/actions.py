"""The actions, and what they mean to scapy."""

from scapy.all import ARP, ICMP, SCTP, TCP, UDP, Dot1AD, Dot1Q, Ether, IP, IPv6, ICMPv6EchoRequest, ICMPv6ND_NS


def upper(packet):
    for kind in (TCP, UDP, SCTP):
        if kind in packet:
            return packet[kind]
    return None


def icmp(packet):
    if ICMP in packet:
        return packet[ICMP]
    return next((layer for layer in (packet.getlayer(ICMPv6EchoRequest), packet.getlayer(ICMPv6ND_NS)) if layer), None)


def set_vid(packet, vid):
    if packet.type in (0x8100, 0x88A8):
        packet.payload.vlan = vid
        return packet
    return pushed(packet, Dot1Q(vlan=vid))


def set_pcp(packet, pcp):
    if packet.type in (0x8100, 0x88A8):
        packet.payload.prio = pcp
        return packet
    return pushed(packet, Dot1Q(vlan=0, prio=pcp))


def pushed(packet, tag):
    inner_type = packet.type
    tag.type = inner_type
    return Ether(dst=packet.dst, src=packet.src, type=0x8100 if isinstance(tag, Dot1Q) and not isinstance(tag, Dot1AD) else 0x88A8) / tag / packet.payload


def popped(packet):
    if packet.type not in (0x8100, 0x88A8):
        return packet
    return Ether(dst=packet.dst, src=packet.src, type=packet.payload.type) / packet.payload.payload


def with_field(find, **fields):
    def change(packet):
        layer = find(packet)
        if layer is not None:
            for name, value in fields.items():
                setattr(layer, name, value)
        return packet

    return change


def ip4(packet):
    return packet.getlayer(IP)


def ip6(packet):
    return packet.getlayer(IPv6)


def set_nw(field, arp_field, address):
    def change(packet):
        if IP in packet:
            setattr(packet[IP], field, address)
        elif ARP in packet:
            setattr(packet[ARP], arp_field, address)
        return packet

    return change


def set_dscp(packet):
    if IP in packet:
        packet[IP].tos = 0xB8 | (packet[IP].tos & 3)
    elif IPv6 in packet:
        packet[IPv6].tc = 0xB8 | (packet[IPv6].tc & 3)
    return packet


def less_ttl(packet):
    if IP in packet:
        packet[IP].ttl -= 1
    elif IPv6 in packet:
        packet[IPv6].hlim -= 1
    return packet


def set_transport(source):
    def change(packet):
        if upper(packet):
            setattr(upper(packet), "sport" if source else "dport", 0xFE01)
        elif icmp(packet):
            setattr(icmp(packet), "type" if source else "code", 0 if source else 1)
        return packet

    return change


# ICMP's type becomes 0, an echo reply, which has a request's layout.
ACTIONS = {
    "push_vlan:24677:88a8": lambda p: pushed(p, Dot1AD(vlan=24677 & 0xFFF, prio=3)),
    "push_vlan:7:8100": lambda p: pushed(p, Dot1Q(vlan=7)),
    "pop_vlan": popped,
    "set_vlan_vid:4094": lambda p: set_vid(p, 4094),
    "set_vlan_pcp:6": lambda p: set_pcp(p, 6),
    "set_dl_src:0:0a0b0c0d0e0f": with_field(lambda p: p, src="0a:0b:0c:0d:0e:0f"),
    "set_dl_dst:0:0a0b0c0d0e0f": with_field(lambda p: p, dst="0a:0b:0c:0d:0e:0f"),
    "set_nw_src:0:ac100001": set_nw("src", "psrc", "172.16.0.1"),
    "set_nw_dst:0:ffffffff": set_nw("dst", "pdst", "255.255.255.255"),
    "set_ipv6_src:0:20010db8000000000000000000000042": with_field(ip6, src="2001:db8::42"),
    "set_ipv6_dst:0:fe80000000000000ffffffffffffffff": with_field(ip6, dst="fe80::ffff:ffff:ffff:ffff"),
    "set_nw_tos:184": set_dscp,
    "set_tp_src:65025": set_transport(True),
    "set_tp_dst:65025": set_transport(False),
    "dec_ttl": less_ttl,
}
ICMP_VALUES = {"set_tp_src:65025": "set_tp_src:0", "set_tp_dst:65025": "set_tp_dst:1"}


def action_for(packet, action):
    return ICMP_VALUES.get(action, action) if icmp(packet) and not upper(packet) else action
