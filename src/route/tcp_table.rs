//! What a kernel says of its TCP sockets, in `/proc/net/tcp` and `tcp6`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state of a socket that listens.
const LISTENS: &str = "0A";

/// One socket.
pub struct Row {
    /// Where it is bound.
    pub local: SocketAddr,
    /// Where it is connected.
    pub peer: SocketAddr,
    /// It waits for connections.
    pub listens: bool,
    /// Whose it is; of one that its program has left already, nobody's.
    pub user: Option<u32>,
}

/// The sockets of a table; what is no row of one is passed over.
pub fn rows(table: &str) -> impl Iterator<Item = Row> {
    table.lines().filter_map(row)
}

/// The socket that a line tells of, if it does.
pub fn row(line: &str) -> Option<Row> {
    let mut words = line.split_whitespace();
    let (local, peer) = (address(words.nth(1)?)?, address(words.next()?)?);
    let listens = words.next()? == LISTENS;
    // Queues, timer, retransmissions.
    let user = words.nth(3)?.parse().ok()?;
    // How long it waits.
    let is_held = words.nth(1)? != "0";
    Some(Row {
        local,
        peer,
        listens,
        user: is_held.then_some(user),
    })
}

/// An address in the words of such a table: 32 bits at a time, as the machine has them.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let words = host.as_bytes().chunks(8).map(|word| {
        let word = std::str::from_utf8(word).ok().filter(|it| it.len() == 8)?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    });
    let bytes = words.collect::<Option<Vec<_>>>()?.concat();
    let host = match <[u8; 4]>::try_from(&*bytes) {
        Ok(v4) => IpAddr::V4(Ipv4Addr::from(v4)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&*bytes).ok()?)),
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    // What is one address in both ways of writing is one.
    Some(SocketAddr::new(host.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// As a machine has it whose smaller end comes first.
    #[test]
    #[cfg(target_endian = "little")]
    fn each_row_is_one_socket_and_nothing_else_is() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:4E21 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 5 1 0 100 0 0 10 0
   1: 0100007F:A0B4 0100007F:4E21 01 00000000:00000000 00:00000000 00000000  1001        0 6 1 0 20 4 30 10 -1
   2: 0000000000000000FFFF00000100007F:A0B5 0000000000000000FFFF00000100007F:4E21 01 0:0 0:0 0  1002 0 0
   3: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0  0 0 8
   4: 0100007F:A0B6 0100007F:4E21 01 short
   5: 0100007:A0B6 0100007F:4E21 01 0:0 0:0 0 1 0 8
   x: y:z
éé éé:éé é";
        let told: Vec<_> = rows(table)
            .map(|row| {
                (
                    row.local.to_string(),
                    row.peer.to_string(),
                    row.listens,
                    row.user,
                )
            })
            .collect();
        let expected = [
            ("127.0.0.1:20001", "0.0.0.0:0", true, Some(1000)),
            ("127.0.0.1:41140", "127.0.0.1:20001", false, Some(1001)),
            ("127.0.0.1:41141", "127.0.0.1:20001", false, None),
            ("[::1]:22", "[::]:0", true, Some(0)),
        ];
        let expected = expected
            .map(|(local, peer, listens, user)| (local.to_owned(), peer.to_owned(), listens, user));
        assert_eq!(told, expected);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_kernel_is_understood() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let own = rows(&table).find(|row| row.local == address).unwrap();
        let user = rustix::process::geteuid().as_raw();
        assert_eq!((own.listens, own.user), (true, Some(user)));
    }
}
