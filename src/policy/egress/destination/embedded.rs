//! IPv4 addresses inside IPv6 addresses: where a packet really ends.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::ranges::{Embeds, Range};

/// The IPv4 addresses that `address`, of `range`, stands for.
///
/// A local NAT64 (RFC 8215) is read as if its prefix had 96 bits. With a shorter one (RFC 6052 §2.2) the address ends in zeros, which is
/// no address: refused.
pub(super) fn embedded(address: Ipv6Addr, range: Option<&Range>) -> impl Iterator<Item = Ipv4Addr> {
    let bits = address.to_bits();
    let at = |shift: u32| Ipv4Addr::from_bits(u32::try_from((bits >> shift) & 0xffff_ffff).unwrap_or_default());
    let found = match range.map_or(Embeds::Nothing, |range| range.embeds) {
        Embeds::Nothing => [isatap(address), None],
        Embeds::Last => [Some(at(0)), None],
        Embeds::SixToFour => [Some(at(80)), isatap(address)],
        Embeds::Teredo => [Some(Ipv4Addr::from_bits(!at(0).to_bits())), Some(at(64))],
    };
    found.into_iter().flatten()
}

/// ISATAP (RFC 5214 §6.1): any prefix, then `0:5efe` or `200:5efe`, then the IPv4 address that a site's routers tunnel to.
fn isatap(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [_, _, _, _, 0 | 0x200, 0x5efe, high, low] = address.segments() else {
        return None;
    };
    Some(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)))
}
