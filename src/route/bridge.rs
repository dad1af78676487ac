//! The bridge route: a container's own address, where a bridge of this machine leads to it.
//!
//! Engines in a virtual machine, rootless ones and those elsewhere give out such addresses too, and
//! there they mean somebody else's machine, or another container of this one. So the engine has to be
//! root's and here, and the address one that the routing table leads to a bridge, without a gateway.
//! The connection is then bound to that bridge: whatever other tables of this machine say (a VPN that
//! has a rule of its own), no packet leaves by another way. Who answers is proven by the pinned host key.

use std::cmp::Reverse;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::engine::{Container, Engine};

/// The address of a container to which a bridge of this machine leads, and the name of the bridge.
pub fn of(engine: &Engine, container: &Container) -> Option<(Ipv4Addr, String)> {
    let is_of_root = || engine.is_of_root();
    on(Path::new("/"), is_of_root, &container.addresses)
}

/// The same on a machine with this root folder.
fn on(
    root: &Path,
    is_of_root: impl Fn() -> bool,
    addresses: &[Ipv4Addr],
) -> Option<(Ipv4Addr, String)> {
    if addresses.is_empty() || !is_of_root() {
        return None;
    }
    let routes = fs::read_to_string(root.join("proc/net/route")).ok()?;
    let interfaces = root.join("sys/class/net");
    let is_bridge = |name: &str| interfaces.join(name).join("bridge").is_dir();
    let (address, bridge) = reached(&routes, addresses, is_bridge)?;
    Some((address, bridge.to_owned()))
}

/// The first of these addresses that lies in the network of a bridge, by the text of `/proc/net/route`.
fn reached<'t>(
    routes: &'t str,
    addresses: &[Ipv4Addr],
    is_bridge: impl Fn(&str) -> bool,
) -> Option<(Ipv4Addr, &'t str)> {
    let routes: Vec<_> = routes.lines().skip(1).filter_map(Route::parse).collect();
    addresses.iter().find_map(|address| {
        let leading = routes.iter().filter(|route| route.leads_to(*address));
        let taken = leading.min_by_key(|route| (Reverse(route.mask.to_bits()), route.metric))?;
        (taken.direct && is_bridge(taken.interface)).then_some((*address, taken.interface))
    })
}

/// A line of `/proc/net/route`.
struct Route<'t> {
    interface: &'t str,
    network: Ipv4Addr,
    mask: Ipv4Addr,
    metric: u32,
    /// Without a gateway, and not there to refuse.
    direct: bool,
}

impl<'t> Route<'t> {
    fn parse(line: &'t str) -> Option<Self> {
        /// `RTF_GATEWAY` and `RTF_REJECT`.
        const ELSEWHERE: u32 = 0x0002 | 0x0200;
        let fields: Vec<_> = line.split_whitespace().collect();
        let &[interface, network, gateway, flags, _, _, metric, mask, ..] = fields.as_slice()
        else {
            return None;
        };
        // Bytes in the order of the network, read as a number of this machine.
        let address = |hex| {
            Some(Ipv4Addr::from(
                u32::from_str_radix(hex, 16).ok()?.to_ne_bytes(),
            ))
        };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        Some(Self {
            interface,
            network: address(network)?,
            mask: address(mask)?,
            metric: metric.parse().ok()?,
            direct: address(gateway)?.is_unspecified() && flags & ELSEWHERE == 0,
        })
    }

    fn leads_to(&self, address: Ipv4Addr) -> bool {
        address & self.mask == self.network
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line as the kernel writes it: interface, network/bits, gateway, flags, metric.
    fn line(route: &str) -> String {
        let hex = |ip: Ipv4Addr| format!("{:08X}", u32::from_ne_bytes(ip.octets()));
        let words: Vec<_> = route.split(' ').collect();
        let (network, bits) = words[1].split_once('/').unwrap();
        let bits: u32 = bits.parse().unwrap();
        let mask = Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - bits).unwrap_or(0));
        format!(
            "{}\t{}\t{}\t{}\t0\t0\t{}\t{}\t0\t0\t0  \n",
            words[0],
            hex(network.parse().unwrap()),
            hex(words[2].parse().unwrap()),
            words[3],
            words[4],
            hex(mask)
        )
    }

    #[test]
    fn only_what_a_bridge_of_this_machine_leads_to_is_reached() {
        let host = [
            "eth0 0.0.0.0/0 192.0.2.1 0003 0",
            "eth0 192.0.2.0/24 0.0.0.0 0001 0",
        ];
        let docker = "docker0 172.17.0.0/16 0.0.0.0 0001 0";
        let user = "br-0123456789ab 172.18.0.0/16 0.0.0.0 0001 0";
        for (case, routes, addresses, expected) in [
            (
                "the default network",
                &[docker][..],
                "172.17.0.2",
                "172.17.0.2 docker0",
            ),
            (
                "a user's network",
                &[docker, user],
                "172.18.0.9",
                "172.18.0.9 br-0123456789ab",
            ),
            (
                "two networks, one of them here",
                &[user],
                "10.9.0.2 172.18.0.9",
                "172.18.0.9 br-0123456789ab",
            ),
            (
                "a rootless engine, or one in a virtual machine",
                &[],
                "172.17.0.2",
                "",
            ),
            (
                "an isolated network: the bridge has no address",
                &[docker],
                "172.18.0.2",
                "",
            ),
            ("no network, or the host's", &[docker], "", ""),
            ("a network card's own network", &[], "192.0.2.9", ""),
            (
                "a gateway on a bridge",
                &["docker0 10.9.0.0/16 172.17.0.7 0003 0", docker],
                "10.9.0.2",
                "",
            ),
            (
                "a VPN has a part of it",
                &[docker, "tun0 172.17.0.0/24 0.0.0.0 0001 0"],
                "172.17.0.2",
                "",
            ),
            (
                "and the other part is ours",
                &[docker, "tun0 172.17.0.0/24 0.0.0.0 0001 0"],
                "172.17.1.2",
                "172.17.1.2 docker0",
            ),
            (
                "a bridge has a part of a VPN's",
                &["tun0 172.16.0.0/12 0.0.0.0 0001 0", docker],
                "172.17.0.2",
                "172.17.0.2 docker0",
            ),
            (
                "a part is refused",
                &[docker, "* 172.17.0.0/24 0.0.0.0 0201 0"],
                "172.17.0.2",
                "",
            ),
            (
                "a part is refused on the bridge itself",
                &[docker, "docker0 172.17.0.0/24 0.0.0.0 0201 0"],
                "172.17.0.2",
                "",
            ),
            (
                "a route with a flag that says nothing of the way",
                &["docker0 172.17.0.0/16 0.0.0.0 0011 0"],
                "172.17.0.2",
                "172.17.0.2 docker0",
            ),
            (
                "the same network twice, the VPN's is preferred",
                &[
                    "docker0 172.17.0.0/16 0.0.0.0 0001 50",
                    "tun0 172.17.0.0/16 0.0.0.0 0001 5",
                ],
                "172.17.0.2",
                "",
            ),
            (
                "a gateway is preferred",
                &[docker, "eth0 172.17.0.2/32 192.0.2.1 0007 0"],
                "172.17.0.2",
                "",
            ),
            (
                "a line that is not understood",
                &["docker0 172.17.0.0/16 0.0.0.0 x 0"],
                "172.17.0.2",
                "",
            ),
        ] {
            let lines = host.iter().chain(routes).map(|route| line(route));
            let text = format!("Iface\tDestination\t…\n{}", lines.collect::<String>());
            let addresses = addresses.split_whitespace().map(|ip| ip.parse().unwrap());
            let is_bridge = |name: &str| name == "docker0" || name.starts_with("br-");
            let found = reached(&text, &Vec::from_iter(addresses), is_bridge);
            let found = found.map(|(address, bridge)| format!("{address} {bridge}"));
            assert_eq!(found.unwrap_or_default(), expected, "{case}");
        }
        assert_eq!(reached("", &[Ipv4Addr::new(172, 17, 0, 2)], |_| true), None);
    }

    #[test]
    fn only_the_engine_of_root_is_believed_what_it_says_of_addresses() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| fs::create_dir_all(root.path().join(path)).unwrap();
        let address = Ipv4Addr::new(172, 17, 0, 2);
        let found =
            |is_of_root: bool, addresses: &[Ipv4Addr]| on(root.path(), || is_of_root, addresses);
        assert_eq!(found(true, &[address]), None, "no table");
        make("proc/net");
        let routes = format!("Iface\n{}", line("docker0 172.17.0.0/16 0.0.0.0 0001 0"));
        fs::write(root.path().join("proc/net/route"), routes).unwrap();
        // It may be a network card.
        make("sys/class/net/docker0");
        assert_eq!(found(true, &[address]), None, "no bridge");
        make("sys/class/net/docker0/bridge");
        assert_eq!(found(true, &[address]), Some((address, "docker0".into())));
        assert_eq!(found(false, &[address]), None);
        assert_eq!(found(true, &[]), None);
        assert_eq!(on(root.path(), || panic!("asked in vain"), &[]), None);
    }

    #[cfg(all(target_os = "linux", target_endian = "little"))]
    #[test]
    fn the_kernels_own_text_is_understood() {
        let text = "Iface\tDestination\tGateway\nnone\ndocker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        let address = Ipv4Addr::new(172, 17, 3, 4);
        assert_eq!(
            reached(text, &[address], |_| true),
            Some((address, "docker0"))
        );
    }
}
