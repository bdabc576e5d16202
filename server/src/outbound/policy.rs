//! Which addresses functions may connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::networks::Network;

/// Public addresses, and what was allowed beside them.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    /// Every address is allowed, as in development.
    pub is_open: bool,
    /// Networks that are allowed although they are not public.
    pub allowed: Vec<Network>,
}

impl AddressPolicy {
    /// Why functions may not connect to an address; none when they may.
    pub fn refusal(&self, address: IpAddr) -> Option<&'static str> {
        let is_allowed = |network: &Network| network.contains(address);
        match self.is_open || self.allowed.iter().any(is_allowed) {
            true => None,
            false => kind(address),
        }
    }
}

/// Whether an address is on the internet.
pub fn is_public(address: IpAddr) -> bool {
    kind(address).is_none()
}

/// The kind of an address that is not public; `None` for a public one.
fn kind(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(v4) => kind_v4(v4),
        IpAddr::V6(v6) => kind_v6(v6),
    }
}

fn kind_v4(address: Ipv4Addr) -> Option<&'static str> {
    let kind = match address.octets() {
        [127, ..] => "a loopback address",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "a private address",
        [169, 254, ..] => "a link-local address",
        [100, 64..=127, ..] => "an address of a carrier's own network",
        [0, ..] => "an address of this network",
        [224..=239, ..] => "a multicast address",
        [240..=255, ..] | [192, 0, 0, _] | [198, 18..=19, ..] => "a reserved address",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "an address of documentation",
        _ => return None,
    };
    Some(kind)
}

fn kind_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    let kind = match segments {
        [0, 0, 0, 0, 0, 0, 0, 1] => "a loopback address",
        [0, 0, 0, 0, 0, 0, ..] => "a reserved address",
        [0xfc00..=0xfdff, ..] => "a unique-local address",
        [0xfe80..=0xfebf, ..] => "a link-local address",
        [0xfec0..=0xfeff, ..] => "a site-local address",
        [0xff00..=0xffff, ..] => "a multicast address",
        [0x2001, 0xdb8, ..] => "an address of documentation",
        // Addresses that other machines translate lead where the address within them does.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => return kind_v4(v4_of(high, low)),
        [0x2002, high, low, ..] => return kind_v4(v4_of(high, low)),
        [0x64, 0xff9b, ..] | [0x2001, 0, ..] | [0x100, 0, 0, 0, ..] => "a reserved address",
        _ => return None,
    };
    Some(kind)
}

fn v4_of(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_go_to_public_addresses_alone() {
        let policy = AddressPolicy::default();
        for (address, kind) in [
            ("127.0.0.1", "a loopback address"),
            ("127.255.0.9", "a loopback address"),
            ("10.1.2.3", "a private address"),
            ("172.16.0.1", "a private address"),
            ("172.31.255.255", "a private address"),
            ("192.168.0.1", "a private address"),
            ("169.254.169.254", "a link-local address"),
            ("100.64.0.1", "an address of a carrier's own network"),
            ("0.0.0.0", "an address of this network"),
            ("224.0.0.1", "a multicast address"),
            ("255.255.255.255", "a reserved address"),
            ("198.18.0.1", "a reserved address"),
            ("192.0.2.1", "an address of documentation"),
            ("::1", "a loopback address"),
            ("::", "a reserved address"),
            ("::7f00:1", "a reserved address"),
            ("fe80::1", "a link-local address"),
            ("fec0::1", "a site-local address"),
            ("fd00::1", "a unique-local address"),
            ("ff02::1", "a multicast address"),
            ("::ffff:10.0.0.1", "a private address"),
            ("::ffff:127.0.0.1", "a loopback address"),
            ("64:ff9b::a00:1", "a private address"),
            ("64:ff9b:1::1", "a reserved address"),
            ("2002:a00:1::", "a private address"),
            ("2001::1", "a reserved address"),
            ("2001:db8::1", "an address of documentation"),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(policy.refusal(parsed), Some(kind), "{address}");
        }
        for address in [
            "9.9.9.9",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "2620:fe::fe",
            "::ffff:9.9.9.9",
            "64:ff9b::909:909",
            "2002:909:909::",
        ] {
            let parsed = address.parse().unwrap();
            assert_eq!(policy.refusal(parsed), None, "{address}");
        }
    }

    #[test]
    fn networks_are_allowed_by_their_first_bits() {
        let policy = |texts: &[&str]| AddressPolicy {
            is_open: false,
            allowed: texts.iter().map(|text| text.parse().unwrap()).collect(),
        };
        let admits = |policy: &AddressPolicy, text: &str| {
            let address = text.parse().unwrap();
            policy.refusal(address).is_none()
        };
        let some = policy(&["10.1.0.0/16", "127.0.0.1", "fd00::/8"]);
        for address in ["10.1.2.3", "127.0.0.1", "::ffff:10.1.2.3", "fd12::1"] {
            assert!(admits(&some, address), "{address}");
        }
        for address in ["10.2.0.1", "127.0.0.2", "fc00::1"] {
            assert!(!admits(&some, address), "{address}");
        }
        assert!(admits(&policy(&["0.0.0.0/0"]), "10.2.0.1"));
        assert!(admits(&policy(&["::/0"]), "::1"));
    }
}
