//! The words a configuration is written in: sizes, durations, nodes and addresses.
//!
//! Owns turning one word into one value and back. Knows nothing of keys, files or the environment.
//! Invariant: what a `show_…` function writes, the matching `parse_…` function reads back unchanged.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// The port of a node when none is written.
pub const DEFAULT_NODE_PORT: u16 = 6379;

/// Longer waits than this are a slip of the pen.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Units of `redis.conf`; the power-of-two ones come first, because `show_size` prefers them.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("gb", 1 << 30),
    ("mb", 1 << 20),
    ("kb", 1 << 10),
    ("g", 1_000_000_000),
    ("m", 1_000_000),
    ("k", 1_000),
    ("b", 1),
];

/// Largest first, because `show_duration` takes the first that divides exactly.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A node as a person writes it: a name or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// A name, an IPv4 address or an IPv6 address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

// === impl HostPort ===

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const RIGHT: &str = "write host:port, for example \"redis-1:6379\" or \"[::1]:6379\"";
        if text.contains("://") {
            return Err(format!("not a node: leave out the scheme; {RIGHT}"));
        }
        let (host, port) = split_host(text).ok_or_else(|| format!("not a node; {RIGHT}"))?;
        let named = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
        let port = match port {
            None => Some(DEFAULT_NODE_PORT),
            Some(digits) => digits.parse().ok().filter(|port| *port != 0),
        };
        match (named, port) {
            (true, Some(port)) => Ok(HostPort { host: host.to_owned(), port }),
            (true, None) => Err(format!("not a node: a port is 1 to 65535; {RIGHT}")),
            (false, _) => Err(format!("not a node; {RIGHT}")),
        }
    }
}

/// The host and, when written, the port. None when the brackets do not match.
fn split_host(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return match after {
            "" => Some((host, None)),
            _ => Some((host, Some(after.strip_prefix(':')?))),
        };
    }
    // More than one colon and no brackets: an IPv6 address without a port, or nonsense.
    if text.matches(':').count() > 1 {
        return text.parse::<Ipv6Addr>().ok().map(|_| (text, None));
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

// === sizes ===

/// Bytes, with the units of `redis.conf`: k is 1000, kb is 1024, and so on; without a unit, bytes.
pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    const RIGHT: &str = "write bytes or a unit of redis.conf, for example \"64kb\" or \"512mb\"";
    let (number, unit) = split_unit(text);
    let factor = match unit {
        "" => Some(1),
        _ => SIZE_UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)).map(|u| u.1),
    };
    let number = number.parse::<u64>().ok();
    let (Some(number), Some(factor)) = (number, factor) else {
        return Err(format!("not a size; {RIGHT}"));
    };
    let bytes = number.checked_mul(factor).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| format!("too large for this machine; {RIGHT}"))
}

/// The shortest exact way to write `bytes`.
pub(super) fn show_size(bytes: usize) -> String {
    let bytes = bytes as u64;
    let binary = SIZE_UNITS.iter().take(3);
    match binary.into_iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

// === durations ===

/// A whole number with a unit: ms, s, m or h. Zero needs none.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    const RIGHT: &str = "write a whole number and ms, s, m or h, for example \"500ms\" or \"10s\"";
    let (number, unit) = split_unit(text);
    let Ok(number) = number.parse::<u64>() else {
        return Err(format!("not a duration; {RIGHT}"));
    };
    if unit.is_empty() && number != 0 {
        return Err(format!("a duration needs a unit; write \"{number}s\" or \"{number}ms\""));
    }
    let factor = match unit {
        "" => Some(1),
        _ => DURATION_UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)).map(|u| u.1),
    };
    let Some(factor) = factor else { return Err(format!("not a duration; {RIGHT}")) };
    match number.checked_mul(factor).map(Duration::from_millis) {
        Some(duration) if duration <= DURATION_MAX => Ok(duration),
        _ => Err("longer than a year; write at most \"8760h\"".to_owned()),
    }
}

/// The shortest exact way to write `duration`.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis() as u64;
    if millis == 0 {
        return "0s".to_owned();
    }
    match DURATION_UNITS.iter().find(|(_, factor)| millis.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", millis / factor),
        None => format!("{millis}ms"),
    }
}

/// The leading digits and the letters after them, blanks around either left out.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

// === addresses ===

/// An address of this machine to listen on; never a name, because a name may mean several.
pub(super) fn parse_bind(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    // The usual slips, each answered with what was probably meant.
    let port = text.rsplit(':').next().and_then(|digits| digits.parse::<u16>().ok());
    let host = text.rsplit_once(':').map_or("", |(host, _)| host);
    Err(match (host, port) {
        ("" | "*", Some(port)) => format!(
            "not an address; write \"0.0.0.0:{port}\" for every interface or \"127.0.0.1:{port}\" \
             for this machine only"
        ),
        ("localhost", Some(port)) => {
            format!("an IP address is needed; write \"127.0.0.1:{port}\" or \"[::1]:{port}\"")
        }
        _ => "not an address; write ip:port, for example \"127.0.0.1:7010\"".to_owned(),
    })
}

// === lists ===

/// The parts of a comma separated list, without blanks and empty parts.
pub(super) fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_redis_reads_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("17b", 17),
            ("1k", 1000),
            ("1kb", 1024),
            ("64KB", 65536),
            ("2m", 2_000_000),
            ("512mb", 512 << 20),
            ("1g", 1_000_000_000),
            ("1gb", 1 << 30),
            (" 3 mb ", 3 << 20),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "mb", "-1", "1.5gb", "1tb", "lots", "1 2", "0x10"] {
            assert!(parse_size(text).unwrap_err().starts_with("not a size"), "{text}");
        }
        assert!(parse_size("99999999999gb").unwrap_err().starts_with("too large"));
    }

    #[test]
    fn durations_need_a_unit() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("10s", 10_000),
            ("1m", 60_000),
            ("2H", 7_200_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(
            parse_duration("10").unwrap_err(),
            "a duration needs a unit; write \"10s\" or \"10ms\""
        );
        for text in ["", "s", "-1s", "1.5s", "1d", "soon"] {
            assert!(parse_duration(text).unwrap_err().starts_with("not a duration"), "{text}");
        }
        for text in ["8761h", "99999999999999999999s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for bytes in [0, 1, 1000, 1024, 1536, 64 << 10, 1 << 20, 1_000_000, 1 << 30, usize::MAX / 2]
        {
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
        for millis in [0, 1, 999, 1000, 1500, 60_000, 61_000, 3_600_000, 90_000_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
        assert_eq!(show_size(1 << 30), "1gb");
        assert_eq!(show_duration(Duration::from_secs(60)), "1m");
    }

    #[test]
    fn nodes_are_hosts_with_an_optional_port() {
        for (text, host, port, shown) in [
            ("redis-1:7001", "redis-1", 7001, "redis-1:7001"),
            ("redis-1", "redis-1", 6379, "redis-1:6379"),
            ("10.0.0.1:1", "10.0.0.1", 1, "10.0.0.1:1"),
            ("[::1]:6380", "::1", 6380, "[::1]:6380"),
            ("[::1]", "::1", 6379, "[::1]:6379"),
            ("fe80::1", "fe80::1", 6379, "[fe80::1]:6379"),
        ] {
            let node: HostPort = text.parse().unwrap();
            assert_eq!((node.host.as_str(), node.port), (host, port), "{text}");
            assert_eq!(node.to_string(), shown);
            assert_eq!(shown.parse(), Ok(node));
        }
        for text in ["", ":6379", "a:b", "a:0", "a:65536", "[::1", "[::1]6379", "a:1:2", "a b:1"] {
            assert!(text.parse::<HostPort>().unwrap_err().starts_with("not a node"), "{text}");
        }
        let error = "redis://h:1".parse::<HostPort>().unwrap_err();
        assert!(error.contains("leave out the scheme"), "{error}");
    }

    #[test]
    fn addresses_to_bind_are_numbers() {
        assert_eq!(parse_bind("127.0.0.1:0").unwrap().port(), 0);
        assert!(parse_bind("[::]:7010").unwrap().is_ipv6());
        for (text, hint) in [
            (":7010", "\"0.0.0.0:7010\" for every interface"),
            ("7010", "\"0.0.0.0:7010\" for every interface"),
            ("*:7010", "\"0.0.0.0:7010\" for every interface"),
            ("localhost:7010", "\"127.0.0.1:7010\""),
            ("127.0.0.1", "write ip:port"),
            ("gateway:7010", "write ip:port"),
        ] {
            assert!(parse_bind(text).unwrap_err().contains(hint), "{text}");
        }
    }
}
