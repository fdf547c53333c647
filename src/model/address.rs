//! Which addresses are of the public internet: what an attacker may send us to, and what not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether it belongs to somebody out there: not to this machine, the networks around it, or a group of machines. By
/// IANA's registries of special-purpose addresses; what leads to another address by its form is what that one is.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || address.is_documentation()
        || (a == 198 && (18..20).contains(&b))
        // Multicast, and what is reserved behind it.
        || a >= 224)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let last = |at: usize| {
        let octets = address.octets();
        let mut four = [0; 4];
        for (to, from) in four.iter_mut().zip(octets.iter().skip(at)) {
            *to = *from;
        }
        Ipv4Addr::from(four)
    };
    match (a, b) {
        // NAT64 (RFC 6052), and its prefix for private use (RFC 8215).
        (0x64, 0xff9b) => address.segments().get(2) == Some(&0) && is_public_v4(last(12)),
        // 6to4 (RFC 3056).
        (0x2002, _) => is_public_v4(last(2)),
        // IETF protocols, Teredo among them, and documentation.
        (0x2001, 0..0x200 | 0xdb8) => false,
        (0x3fff, 0..0x1000) => false,
        // Global unicast, and nothing else of the rest.
        _ => (0x2000..0x4000).contains(&a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(address: &str) -> bool {
        is_public(address.parse().unwrap())
    }

    #[test]
    fn what_is_out_there_is_public() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn what_is_here_or_nearby_is_not_however_it_is_written() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.1.2.3",
            "64:ff9b:1::1.1.1.1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }
}
