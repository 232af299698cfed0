//! What holds for every address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::prelude::*;

use super::super::ranges::{self, Guard, ranges};
use super::super::{Destinations, Forbidden};
use super::with;

fn is_forbidden(destinations: &Destinations, address: IpAddr) -> bool {
    destinations.address("a.example", 443, address).is_err()
}

/// Some address of one of the ranges.
fn in_a_range() -> impl Strategy<Value = (&'static ranges::Range, IpAddr)> {
    let all: Vec<_> = ranges().collect();
    (prop::sample::select(all), any::<u128>()).prop_map(|(range, bits)| {
        let address = match range.network {
            IpNet::V4(network) => {
                let bits = u32::try_from(bits & 0xffff_ffff).expect("32 bits") & network.hostmask().to_bits();
                Ipv4Addr::from_bits(network.network().to_bits() | bits).into()
            }
            IpNet::V6(network) => {
                let bits = bits & network.hostmask().to_bits();
                Ipv6Addr::from_bits(network.network().to_bits() | bits).into()
            }
        };
        (range, address)
    })
}

#[test]
fn networks_are_written_as_their_first_address() {
    for range in ranges() {
        assert_eq!(range.network, range.network.trunc(), "{}", range.name);
        let same: Vec<_> = ranges().filter(|other| other.network == range.network).collect();
        assert_eq!(same.len(), 1, "{} stands in the table twice", range.network);
    }
}

proptest! {
    #[test]
    fn every_address_of_every_range_is_refused((range, address) in in_a_range()) {
        let found = ranges::find(address).expect("a range");
        prop_assert!(found.network.contains(&address));
        prop_assert!(found.network.prefix_len() >= range.network.prefix_len());
        let forbidden = with("").address("a.example", 443, address).expect_err("forbidden");
        let is_of_it = matches!(forbidden, Forbidden::Address { address: of, .. } if of == address);
        prop_assert!(is_of_it);
    }

    #[test]
    fn no_name_opens_more_than_private_addresses((_, address) in in_a_range()) {
        let open = with("allow_hosts = [\"a.example\", \"*.example\"]");
        let guard = ranges::find(address).expect("a range").guard;
        if !is_forbidden(&open, address) {
            prop_assert_eq!(guard, Guard::Private);
        }
    }

    #[test]
    fn no_wide_network_opens_metadata_and_nowhere((_, address) in in_a_range()) {
        let open = with("allow_networks = [\"0.0.0.0/1\", \"128.0.0.0/1\", \"::/1\", \"8000::/1\"]");
        match ranges::find(address).expect("a range").guard {
            Guard::Exact | Guard::Never => prop_assert!(is_forbidden(&open, address)),
            // An address that stands for another one is as forbidden as that.
            Guard::Private | Guard::Reserved => {}
        }
    }

    #[test]
    fn what_std_calls_special_is_refused(bits in any::<u32>()) {
        let address = Ipv4Addr::from_bits(bits);
        let is_special = address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast()
            || address.is_broadcast() || address.is_documentation() || address.is_unspecified();
        prop_assert!(!is_special || is_forbidden(&with(""), address.into()));
    }

    #[test]
    fn nothing_but_global_unicast_is_open(bits in any::<u128>()) {
        let address = Ipv6Addr::from_bits(bits);
        prop_assert!(address.segments()[0] & 0xe000 == 0x2000 || is_forbidden(&with(""), address.into()));
    }

    #[test]
    fn a_disguise_is_no_way_around(bits in any::<u32>(), host in any::<u16>()) {
        let inner = Ipv4Addr::from_bits(bits);
        let [high, low] = [(bits >> 16) as u16, (bits & 0xffff) as u16];
        let open = with(
            "allow_networks = [\"::ffff:0:0/96\", \"::ffff:0:0:0/96\", \"::/96\", \"64:ff9b::/96\", \"64:ff9b:1::/48\", \"2002::/16\", \
             \"2001::/32\"]",
        );
        let disguises = [
            inner.to_ipv6_mapped(),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 1, host, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, host, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, 0x0808, 0x0808, 0, host, !high, !low),
            Ipv6Addr::new(0x2001, 0, high, low, 0, host, 0xf7f7, 0xf7f7),
            Ipv6Addr::new(0x2606, 0x4700, host, 0, 0, 0x5efe, high, low),
            Ipv6Addr::new(0x2606, 0x4700, host, 0, 0x200, 0x5efe, high, low),
        ];
        for disguise in disguises {
            prop_assert_eq!(is_forbidden(&open, disguise.into()), is_forbidden(&open, inner.into()), "{} {}", disguise, inner);
        }
    }
}
