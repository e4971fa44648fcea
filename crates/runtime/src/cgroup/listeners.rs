//! Where a dyno's processes wait for connections, as the network namespace of one of them tells.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use renga_model::DynoId;

use super::{Cgroups, own_processes};

/// Of one table; a dyno can fill it.
const TABLE_BYTES_MAX: u64 = 256 * 1024;
/// More than anybody reads of.
const LISTENERS_MAX: usize = 32;
/// The kernel's number for a socket that listens.
const LISTENING: &str = "0A";

impl Cgroups {
    /// Empty too when nothing of the dyno runs.
    pub(crate) fn listeners(&self, dyno: DynoId) -> Vec<SocketAddr> {
        let Some(pid) = self.app(dyno).and_then(|group| own_processes(&group).first().copied()) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for table in ["tcp", "tcp6"] {
            let path = format!("/proc/{}/net/{table}", pid.as_raw_nonzero());
            if let Ok(file) = File::open(path) {
                found.extend(listening(BufReader::new(file.take(TABLE_BYTES_MAX))));
            }
        }
        found.truncate(LISTENERS_MAX);
        found
    }
}

/// Columns: number, local address, remote address, state.
fn listening(table: impl BufRead) -> Vec<SocketAddr> {
    let lines = table.lines().map_while(Result::ok);
    let listening = lines.filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next()?;
        (fields.nth(1)? == LISTENING).then(|| address(local)).flatten()
    });
    listening.take(LISTENERS_MAX).collect()
}

/// `0100007F:1F90`: words in the machine's own order, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            IpAddr::from(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
               0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000\n\
               1: 00000000:0BB8 00000000:0000 0A 00000000:00000000 00:00000000\n\
               2: 0100007F:1F90 0100007F:A3F2 01 00000000:00000000 00:00000000\n\
               3: nonsense\n\
               4: 00000000000000000000000001000000:1388 00000000000000000000000000000000:0000 0A 0\n\
               5: 0000000000000000FFFF00000100007F:1389 00000000000000000000000000000000:0000 0A 0\n";
        let shown: Vec<String> = listening(table.as_bytes()).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.1:8080", "0.0.0.0:3000", "[::1]:5000", "[::ffff:127.0.0.1]:5001"]);
    }
}
