//! Who is at the other end of a connection: behind a proxy it is the proxy.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Bits of an IPv6 address that name a site; the rest is the site's own choice.
const IPV6_SITE_BITS: u32 = 64;

/// The other end of the connection that a request came over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Addresses that count as one sender: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Site(IpAddr);

impl Peer {
    /// An IPv4 address is written as such, whatever the socket is.
    pub(super) fn of(address: SocketAddr) -> Self {
        Self(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    pub(crate) fn site(self) -> Site {
        Site(match self.0.ip() {
            v4 @ IpAddr::V4(_) => v4,
            IpAddr::V6(address) => {
                let mask = u128::MAX << (128 - IPV6_SITE_BITS);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_has_one_site_and_an_ipv4_client_its_address() {
        let site = |text: &str| Peer::of(format!("{text}:1").parse().unwrap()).site();
        assert_eq!(site("[2001:db8::1]"), site("[2001:db8::ffff:ffff:ffff:ffff]"));
        assert_ne!(site("[2001:db8::1]"), site("[2001:db8:0:1::1]"));
        assert_ne!(site("192.0.2.1"), site("192.0.2.2"));
        assert_eq!(site("192.0.2.1"), site("[::ffff:192.0.2.1]"));
    }
}
