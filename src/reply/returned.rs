//! Why a request came back unanswered: a redirect, a node that cannot serve, a lost connection.
//!
//! Owns the reading of those error replies that Redis Cluster means for its clients' libraries and
//! that plain clients must never see. Must not decide what happens next; the router does.

use super::texts;
use crate::slot::Slot;

/// Longest host that a redirect can name (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnReason {
    /// `-MOVED`: another node serves the slot now.
    Moved(Redirect),
    /// `-ASK`: this once, the node the slot moves to must be asked.
    Ask(Redirect),
    /// The node cannot serve it at the moment and did not run it; the text is the node's.
    Unavailable(Unavailable, String),
    /// No connection to the node: the request was never written in full.
    Unsent,
    /// The connection was lost after the request had been written: it may have run.
    Indeterminate,
    /// The map names no master for the slot.
    NoMaster,
    /// The node does not know the script that was named by its SHA1, and ran nothing.
    NoScript,
    /// It only reads, and waits behind a script that keeps the node busy: it is taken to another
    /// connection.
    BehindScript,
}

impl ReturnReason {
    /// A redirect without a host means the node that said it, which is at this address.
    pub fn said_by(&mut self, address: std::net::IpAddr) {
        if let ReturnReason::Moved(redirect) | ReturnReason::Ask(redirect) = self
            && redirect.host.is_empty()
        {
            redirect.host = address.to_string();
        }
    }

    /// Whether a node may have said this of a script whose keys are in `slot`, before it ran. If
    /// not it is what the script says, which has run.
    pub fn is_a_nodes_own(&self, slot: Slot) -> bool {
        match self {
            ReturnReason::Moved(redirect) | ReturnReason::Ask(redirect) => {
                usize::from(redirect.slot) == slot.index()
            }
            ReturnReason::Unavailable(_, text) => {
                NODES_OWN.iter().any(|begin| text.starts_with(begin))
                    && !OF_A_SCRIPT.iter().any(|words| text.contains(words))
            }
            ReturnReason::Unsent
            | ReturnReason::Indeterminate
            | ReturnReason::NoMaster
            | ReturnReason::NoScript
            | ReturnReason::BehindScript => true,
        }
    }
}

/// How nodes begin the sentences by which they decline a command.
const NODES_OWN: [&str; 7] = [
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "CLUSTERDOWN Hash slot not served",
    "CLUSTERDOWN The cluster is down",
    "LOADING Redis is loading the dataset in memory",
    "LOADING Valkey is loading the dataset in memory",
    "READONLY You can't write against a read only replica",
    "MASTERDOWN Link with MASTER is down",
];
/// What they add when it was a command within a script, which has run until there.
const OF_A_SCRIPT: [&str; 3] = [" script: ", "@user_script", "@user_function"];

/// The replies of a node that did not run a command and may run it later, or another node may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// `-TRYAGAIN`: some of the keys have moved already.
    TryAgain,
    /// `-CLUSTERDOWN`.
    ClusterDown,
    /// `-LOADING`: the node reads its data from disk.
    Loading,
    /// `-READONLY`: the node is a replica now.
    ReadOnly,
    /// `-MASTERDOWN`: a replica without its master.
    MasterDown,
    /// `-MOVED` or `-ASK` that names no place.
    BadRedirect,
}

impl Unavailable {
    /// One word for counters.
    pub fn kind(self) -> &'static str {
        match self {
            Unavailable::TryAgain => "tryagain",
            Unavailable::ClusterDown => "clusterdown",
            Unavailable::Loading => "loading",
            Unavailable::ReadOnly => "readonly",
            Unavailable::MasterDown => "masterdown",
            Unavailable::BadRedirect => "bad_redirect",
        }
    }
}

/// The target of a redirect. An empty host is the node that said so; see [`ReturnReason::said_by`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Slot number.
    pub slot: u16,
    /// Address or host name; empty for "the one you asked".
    pub host: String,
    /// Port.
    pub port: u16,
}

/// What an error line (`-…\r\n`) means for a retry; `None` when it is an answer like any other.
#[inline]
pub fn classify(line: &[u8]) -> Option<ReturnReason> {
    match line.get(1) {
        Some(b'M' | b'A' | b'T' | b'C' | b'L' | b'R') => classify_word(line),
        _ => None,
    }
}

/// What an error line that EXEC is answered with means for a retry of the whole transaction. A node
/// that cannot serve says so by itself or, since Redis 7, behind EXECABORT.
#[cold]
pub fn classify_exec(line: &[u8]) -> Option<ReturnReason> {
    let reason = line.strip_prefix(EXEC_ABORT_BECAUSE).unwrap_or(line);
    let reason = reason.strip_prefix(b"-").unwrap_or(reason);
    classify_word(&[b"-", reason].concat())
}

/// What stands before the reason for which a node did not run a transaction.
const EXEC_ABORT_BECAUSE: &[u8] = b"-EXECABORT Transaction discarded because of: ";

#[cold]
fn classify_word(line: &[u8]) -> Option<ReturnReason> {
    let text = String::from_utf8_lossy(line.get(1..)?);
    let text = text.trim_end();
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let kind = match word {
        "MOVED" | "ASK" => return Some(redirect(word, rest)),
        "TRYAGAIN" => Unavailable::TryAgain,
        "CLUSTERDOWN" => Unavailable::ClusterDown,
        "LOADING" => Unavailable::Loading,
        "READONLY" => Unavailable::ReadOnly,
        "MASTERDOWN" => Unavailable::MasterDown,
        _ => return None,
    };
    Some(ReturnReason::Unavailable(kind, text.to_owned()))
}

/// What a node says that does not know a script, in every version.
pub const NO_SCRIPT: &[u8] = b"-NOSCRIPT No matching script. Please use EVAL.\r\n";

/// A plain client must see neither, also when nobody can follow it.
fn redirect(word: &str, rest: &str) -> ReturnReason {
    match Redirect::parse(rest) {
        None => ReturnReason::Unavailable(Unavailable::BadRedirect, texts::BAD_REDIRECT.to_owned()),
        Some(redirect) if word == "MOVED" => ReturnReason::Moved(redirect),
        Some(redirect) => ReturnReason::Ask(redirect),
    }
}

/// Whether a long error line begins as a redirect, which no node's does.
pub fn is_redirect(line: &[u8]) -> bool {
    line.starts_with(b"-MOVED ") || line.starts_with(b"-ASK ")
}

impl Redirect {
    /// The redirect as a node says it.
    pub fn text(&self, word: &str) -> String {
        format!("{word} {} {}:{}", self.slot, self.host, self.port)
    }

    /// Reads `3999 127.0.0.1:6381`, also with an IPv6 address, a name, `?` or nothing for a host.
    pub fn parse(text: &str) -> Option<Redirect> {
        let (slot, target) = text.split_once(' ')?;
        let slot =
            slot.parse::<u16>().ok().filter(|slot| usize::from(*slot) < crate::slot::SLOTS)?;
        let (host, port) = target.trim().rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = if host == "?" { "" } else { host };
        let is_host = host.len() <= HOST_BYTES_MAX && host.bytes().all(|b| b.is_ascii_graphic());
        let port = port.parse().ok().filter(|port| is_host && *port > 0)?;
        Some(Redirect { slot, host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_says_is_told_from_what_a_node_says() {
        let slot = Slot::of(b"key");
        let own = |text: &str| {
            classify(format!("-{text}\r\n").as_bytes()).expect(text).is_a_nodes_own(slot)
        };
        assert!(own("TRYAGAIN Multiple keys request during rehashing of slot"));
        assert!(own("READONLY You can't write against a read only replica."));
        assert!(own("CLUSTERDOWN The cluster is down and only accepts read commands"));
        assert!(own(&format!("MOVED {} a:1", slot.index())));
        assert!(!own("READONLY You can't write against a read only replica. script: 5f, on x:1."));
        assert!(!own("TRYAGAIN later"));
        assert!(!own("ASK 1 a:1"));
    }

    #[test]
    fn redirects_in_every_form() {
        let redirect =
            |host: &str, port| Some(Redirect { slot: 3999, host: host.to_owned(), port });
        let cases = [
            ("3999 127.0.0.1:6381", redirect("127.0.0.1", 6381)),
            ("3999 redis-1:6379", redirect("redis-1", 6379)),
            ("3999 ::1:6381", redirect("::1", 6381)),
            ("3999 [fe80::1]:6381", redirect("fe80::1", 6381)),
            ("3999 :6381", redirect("", 6381)),
            ("3999 ?:6381", redirect("", 6381)),
            ("3999", None),
            ("16384 a:1", None),
            ("3999 a:65536", None),
            ("3999 a:0", None),
            ("3999 :0", None),
            ("3999 a b:1", None),
            ("3999 a\nb:1", None),
            ("3999 a", None),
            ("-1 a:1", None),
        ];
        for (text, want) in cases {
            assert_eq!(Redirect::parse(text), want, "{text}");
        }
    }

    #[test]
    fn only_the_clusters_own_errors_are_troubles() {
        let unavailable = |kind, text: &str| Some(ReturnReason::Unavailable(kind, text.to_owned()));
        let down = "CLUSTERDOWN Hash slot not served";
        assert_eq!(
            classify(b"-CLUSTERDOWN Hash slot not served\r\n"),
            unavailable(Unavailable::ClusterDown, down)
        );
        assert_eq!(classify(b"-TRYAGAIN x\r\n"), unavailable(Unavailable::TryAgain, "TRYAGAIN x"));
        assert!(matches!(classify(b"-MOVED 1 a:1\r\n"), Some(ReturnReason::Moved(_))));
        assert!(matches!(classify(b"-ASK 1 a:1\r\n"), Some(ReturnReason::Ask(_))));
        let bad = Some(ReturnReason::Unavailable(
            Unavailable::BadRedirect,
            texts::BAD_REDIRECT.to_owned(),
        ));
        for line in
            [&b"-MOVED\r\n"[..], b"-MOVED x a:1\r\n", b"-ASK 1 \xff:1\r\n", b"-ASK 1 a:0\r\n"]
        {
            assert_eq!(classify(line), bad, "{:?}", String::from_utf8_lossy(line));
        }
        // A script may say so, and has run.
        assert!(!bad.is_some_and(|why| why.is_a_nodes_own(Slot::of(b"a"))));
        let answers: [&[u8]; 6] = [
            b"-ERR no\r\n",
            b"-CROSSSLOT Keys\r\n",
            b"-LOADINGX\r\n",
            b"-\r\n",
            b"-\xffM\r\n",
            b"-MISCONF x\r\n",
        ];
        for line in answers {
            assert_eq!(classify(line), None, "{:?}", String::from_utf8_lossy(line));
        }
    }
}
