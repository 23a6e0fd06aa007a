//! How the command line names what is to be measured.
//!
//! Owns the form of an address and of a name. Knows nothing of what is there.

/// The word before the address of a node, for a cluster without anything in front.
const CLUSTER: &str = "cluster:";

/// Names are part of file names and of table heads.
const NAME_MAX: usize = 24;

/// Where something to be measured is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// `HOST:PORT`.
    pub(crate) address: String,
    /// Whether that is a node of a cluster, and each key is to be sent to the master that has it.
    pub(crate) is_cluster: bool,
}

impl Address {
    /// Reads `HOST:PORT` or `cluster:HOST:PORT`.
    pub(crate) fn parse(text: &str) -> Result<Address, String> {
        let (address, is_cluster) = match text.strip_prefix(CLUSTER) {
            Some(address) if address.contains(':') => (address, true),
            _ => (text, false),
        };
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        match port {
            Some(1..) => Ok(Address { address: address.to_owned(), is_cluster }),
            _ => Err(format!("'{address}' is not HOST:PORT")),
        }
    }
}

/// Reads `NAME=ADDRESS`.
pub(crate) fn named_address(text: &str) -> Result<(String, Address), String> {
    let (name, address) = text.split_once('=').ok_or("each target needs a name: NAME=HOST:PORT")?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !(1..=NAME_MAX).contains(&name.len()) || !name.bytes().all(is_name) {
        return Err(format!("'{name}' is no name: 1 to {NAME_MAX} letters, digits, '-' or '_'"));
    }
    Ok((name.to_owned(), Address::parse(address)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_told_from_a_host_of_that_name() {
        let address = |text| Address::parse(text).map(|found| (found.address, found.is_cluster));
        assert_eq!(address("h:1"), Ok(("h:1".into(), false)));
        assert_eq!(address("cluster:h:1"), Ok(("h:1".into(), true)));
        assert_eq!(address("cluster:7000"), Ok(("cluster:7000".into(), false)));
        assert_eq!(address("cluster:[::1]:7000"), Ok(("[::1]:7000".into(), true)));
        for text in ["", "h", "h:", "h:x", "h:0", "h:70000", "cluster:"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_short_and_plain() {
        assert_eq!(named_address("a-1=h:1").unwrap().0, "a-1");
        for text in ["h:1", "=h:1", "a b=h:1", "../a=h:1", "a=", "abcdefghijklmnopqrstuvwxyz=h:1"] {
            assert!(named_address(text).is_err(), "{text}");
        }
    }
}
