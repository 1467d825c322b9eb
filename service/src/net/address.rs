//! Addresses of peers. Behind a proxy the peer is the proxy.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Prefix length of the IPv6 network of one sender, which can choose the other bits freely.
const IPV6_BLOCK_BITS: u32 = 64;

/// The remote address of a connection; an extension of its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The addresses that count as one sender: one IPv4 address or one IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AddressBlock(IpAddr);

impl Peer {
    /// Turns an IPv4-mapped address of a dual-stack socket into plain IPv4.
    pub(super) fn of(address: SocketAddr) -> Self {
        Self(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    pub(crate) fn block(self) -> AddressBlock {
        AddressBlock(match self.0.ip() {
            v4 @ IpAddr::V4(_) => v4,
            IpAddr::V6(address) => {
                let mask = u128::MAX << (128 - IPV6_BLOCK_BITS);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_block_and_so_is_an_ipv4_address() {
        let block = |text: &str| Peer::of(format!("{text}:1").parse().unwrap()).block();
        assert_eq!(block("[2001:db8::1]"), block("[2001:db8::ffff:ffff:ffff:ffff]"));
        assert_ne!(block("[2001:db8::1]"), block("[2001:db8:0:1::1]"));
        assert_ne!(block("192.0.2.1"), block("192.0.2.2"));
        assert_eq!(block("192.0.2.1"), block("[::ffff:192.0.2.1]"));
    }
}
