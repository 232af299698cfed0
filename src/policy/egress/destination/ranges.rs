//! Addresses that are not a stranger's server on the Internet: one table.
//!
//! The contents of the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190), multicast, what IPv6 has not
//! given out as global unicast (RFC 4291 §2.4), and the addresses at which clouds serve machines their credentials. Everything
//! in the registries stands here, also what they call globally reachable: those are anycast services of the network itself,
//! and nobody's webhook.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A range of addresses that events do not go to unless an option opens it.
#[derive(Debug, PartialEq, Eq)]
pub struct Range {
    /// Which addresses.
    pub network: IpNet,
    /// Stable, one word: what the tables of tests and `--json` call it.
    pub code: &'static str,
    /// What it is, behind "X is …".
    pub name: &'static str,
    /// Which document sets it aside.
    pub source: &'static str,
    /// What opens it.
    pub guard: Guard,
    /// Which IPv4 addresses its addresses stand for.
    pub embeds: Embeds,
}

/// What it takes for events to go to a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// A host in `allow_hosts`, or a network in `allow_networks`: somebody's own network.
    Private,
    /// A network in `allow_networks`.
    Reserved,
    /// Exactly this address in `allow_networks`, as a `/32` or `/128`: whoever reaches it can act as the machine.
    Exact,
    /// Nothing: no server can be there.
    Never,
}

/// How addresses of a range carry IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embeds {
    /// They do not.
    Nothing,
    /// In their last 32 bits.
    Last,
    /// Behind their first 16 bits (RFC 3056 §2).
    SixToFour,
    /// The server's behind the first 32 bits; the client's in the last 32, inverted (RFC 4380 §4).
    Teredo,
}

/// The most specific range that holds `address`.
#[must_use]
pub fn find(address: IpAddr) -> Option<&'static Range> {
    let holding = ranges().filter(|range| range.network.contains(&address));
    holding.max_by_key(|range| range.network.prefix_len())
}

/// All of them.
pub fn ranges() -> impl Iterator<Item = &'static Range> {
    IPV4.iter().chain(IPV6)
}

const fn v4(address: [u8; 4], length: u8, code: &'static str, name: &'static str, source: &'static str) -> Range {
    let [a, b, c, d] = address;
    Range {
        network: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)),
        code,
        name,
        source,
        guard: Guard::Reserved,
        embeds: Embeds::Nothing,
    }
}

const fn v6(address: [u16; 8], length: u8, code: &'static str, name: &'static str, source: &'static str) -> Range {
    let [a, b, c, d, e, f, g, h] = address;
    Range {
        network: IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length)),
        code,
        name,
        source,
        guard: Guard::Reserved,
        embeds: Embeds::Nothing,
    }
}

impl Range {
    const fn guard(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    const fn embeds(self, embeds: Embeds) -> Self {
        Self { embeds, ..self }
    }
}

/// An address at which a cloud serves machines what they may do.
const fn metadata4(address: [u8; 4], name: &'static str) -> Range {
    v4(address, 32, "metadata", name, "the cloud's documentation").guard(Guard::Exact)
}

/// As [`metadata4`].
const fn metadata6(address: [u16; 8], name: &'static str) -> Range {
    v6(address, 128, "metadata", name, "the cloud's documentation").guard(Guard::Exact)
}

#[rustfmt::skip]
static IPV4: &[Range] = &[
    v4([0, 0, 0, 0], 8, "this-network", "an address of \"this network\"", "RFC 791 §3.2"),
    v4([0, 0, 0, 0], 32, "unspecified", "no address at all, and on many systems this machine", "RFC 1122 §3.2.1.3").guard(Guard::Never),
    v4([10, 0, 0, 0], 8, "private", "a private address", "RFC 1918").guard(Guard::Private),
    v4([100, 64, 0, 0], 10, "shared", "an address shared behind a carrier's or a cloud's NAT", "RFC 6598").guard(Guard::Private),
    v4([127, 0, 0, 0], 8, "loopback", "a loopback address, this machine itself", "RFC 1122 §3.2.1.3"),
    v4([169, 254, 0, 0], 16, "link-local", "a link-local address", "RFC 3927"),
    v4([172, 16, 0, 0], 12, "private", "a private address", "RFC 1918").guard(Guard::Private),
    v4([192, 0, 0, 0], 24, "protocol", "an address for IETF protocols", "RFC 6890 §2.1"),
    v4([192, 0, 0, 0], 29, "protocol", "an address for IPv4 service continuity", "RFC 7335"),
    v4([192, 0, 0, 8], 32, "protocol", "the IPv4 dummy address", "RFC 7600"),
    v4([192, 0, 0, 9], 32, "protocol", "the Port Control Protocol anycast address", "RFC 7723"),
    v4([192, 0, 0, 10], 32, "protocol", "the TURN anycast address", "RFC 8155"),
    v4([192, 0, 0, 170], 31, "protocol", "an address for the discovery of NAT64", "RFC 8880, RFC 7050"),
    v4([192, 0, 2, 0], 24, "documentation", "an address for documentation (TEST-NET-1)", "RFC 5737"),
    v4([192, 31, 196, 0], 24, "as112", "an address of the AS112 project", "RFC 7535"),
    v4([192, 52, 193, 0], 24, "amt", "an address for automatic multicast tunnelling", "RFC 7450"),
    v4([192, 88, 99, 0], 24, "6to4-relay", "an address of the withdrawn 6to4 relays", "RFC 7526"),
    v4([192, 88, 99, 2], 32, "6to4-relay", "the 6a44 relay anycast address", "RFC 6751"),
    v4([192, 168, 0, 0], 16, "private", "a private address", "RFC 1918").guard(Guard::Private),
    v4([192, 175, 48, 0], 24, "as112", "an address of the AS112 project", "RFC 7534"),
    v4([198, 18, 0, 0], 15, "benchmarking", "an address for benchmarks", "RFC 2544"),
    v4([198, 51, 100, 0], 24, "documentation", "an address for documentation (TEST-NET-2)", "RFC 5737"),
    v4([203, 0, 113, 0], 24, "documentation", "an address for documentation (TEST-NET-3)", "RFC 5737"),
    v4([224, 0, 0, 0], 4, "multicast", "a multicast address", "RFC 5771").guard(Guard::Never),
    v4([240, 0, 0, 0], 4, "reserved", "an address reserved for the future", "RFC 1112 §4"),
    v4([255, 255, 255, 255], 32, "broadcast", "the broadcast address", "RFC 8190, RFC 919 §7").guard(Guard::Never),

    metadata4([169, 254, 169, 254], "the instance metadata of AWS, Azure, Google Cloud, OpenStack and others"),
    metadata4([169, 254, 169, 253], "the DNS server of an AWS network"),
    metadata4([169, 254, 169, 123], "the time service of AWS"),
    metadata4([169, 254, 170, 2], "the credentials of an AWS ECS task"),
    metadata4([169, 254, 170, 23], "the credentials of an AWS EKS pod"),
    metadata4([169, 254, 0, 23], "the instance metadata of Tencent Cloud"),
    metadata4([169, 254, 10, 10], "the instance metadata of Tencent Cloud"),
    metadata4([169, 254, 42, 42], "the instance metadata of Scaleway"),
    metadata4([168, 63, 129, 16], "the host service (WireServer) of Azure"),
    metadata4([100, 100, 100, 200], "the instance metadata of Alibaba Cloud"),
    metadata4([192, 0, 0, 192], "the instance metadata of Oracle Cloud"),
];

#[rustfmt::skip]
static IPV6: &[Range] = &[
    // What is not 2000::/3, and has no name of its own below.
    v6([0; 8], 3, "not-global", "not a global unicast address", "RFC 4291 §2.4"),
    v6([0x4000, 0, 0, 0, 0, 0, 0, 0], 2, "not-global", "not a global unicast address", "RFC 4291 §2.4"),
    v6([0x8000, 0, 0, 0, 0, 0, 0, 0], 1, "not-global", "not a global unicast address", "RFC 4291 §2.4"),

    v6([0; 8], 128, "unspecified", "no address at all, and on many systems this machine", "RFC 4291 §2.5.2").guard(Guard::Never),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback", "the loopback address, this machine itself", "RFC 4291 §2.5.3"),
    v6([0; 8], 96, "ipv4-compatible", "an IPv4-compatible address", "RFC 4291 §2.5.5.1").embeds(Embeds::Last),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "ipv4-mapped", "an IPv4-mapped address", "RFC 4291 §2.5.5.2").embeds(Embeds::Last),
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, "ipv4-translated", "an IPv4-translated address", "RFC 2765 §2.1").embeds(Embeds::Last),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "nat64", "an address that NAT64 translates to IPv4", "RFC 6052 §2.1").embeds(Embeds::Last),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "nat64", "an address that a local NAT64 translates to IPv4", "RFC 8215").embeds(Embeds::Last),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard", "an address whose packets are discarded", "RFC 6666"),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "dummy", "an address of the dummy prefix", "RFC 9780"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol", "an address for IETF protocols", "RFC 2928"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "teredo", "a Teredo address", "RFC 4380").embeds(Embeds::Teredo),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 1], 128, "protocol", "the Port Control Protocol anycast address", "RFC 7723"),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 2], 128, "protocol", "the TURN anycast address", "RFC 8155"),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 3], 128, "protocol", "the DNS-SD registration anycast address", "RFC 9665"),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "benchmarking", "an address for benchmarks", "RFC 5180"),
    v6([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, "amt", "an address for automatic multicast tunnelling", "RFC 7450"),
    v6([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, "as112", "an address of the AS112 project", "RFC 7535"),
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, "orchid", "an identifier, not an address (ORCHID)", "RFC 4843"),
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, "orchid", "an identifier, not an address (ORCHIDv2)", "RFC 7343"),
    v6([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28, "drone-id", "an identifier of a drone, not an address", "RFC 9374"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation", "an address for documentation", "RFC 3849"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4", "an address that 6to4 tunnels to IPv4", "RFC 3056").embeds(Embeds::SixToFour),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "as112", "an address of the AS112 project", "RFC 7534"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation", "an address for documentation", "RFC 9637"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment-routing", "a segment identifier (SRv6), not an address", "RFC 9602"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique-local", "a unique local address, IPv6's private ones", "RFC 4193").guard(Guard::Private),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local", "a link-local address", "RFC 4291 §2.5.6"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local", "a site-local address, which private ones were once", "RFC 3879"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast", "a multicast address", "RFC 4291 §2.7").guard(Guard::Never),

    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32, "metadata", "a service of an AWS network", "the cloud's documentation").guard(Guard::Exact),
    metadata6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], "the instance metadata of AWS"),
    metadata6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253], "the DNS server of an AWS network"),
    metadata6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x123], "the time service of AWS"),
    metadata6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], "the credentials of an AWS EKS pod"),
    metadata6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], "the instance metadata of Google Cloud"),
    metadata6([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], "the instance metadata of Oracle Cloud"),
    metadata6([0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1], "the instance metadata of Akamai (Linode)"),
    metadata6([0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200], "the instance metadata of Alibaba Cloud"),
    metadata6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], "the instance metadata of Scaleway"),
    metadata6([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe], "the instance metadata of OpenStack and Akamai (Linode)"),
];
