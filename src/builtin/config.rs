//! CONFIG GET as the gateway's clients may and should see it.
//!
//! Owns what becomes of the masters' values of an option: passwords are not told, for what the
//! gateway logs in with is not for whoever may talk to it; what belongs to the process a client talks to
//! is the gateway's; what INFO adds up is added up here too. Knows nothing of how the replies came.

use std::borrow::Cow;

use super::info::GatewayInfo;
use super::settings::Settings;
use crate::resp::frame::split_frame;
use crate::resp::number::{Line, integer_line};
use crate::resp::{Args, write};
use crate::router::hub::event_classes::OPTION;

/// What is told of an option.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// Always this.
    Const(&'static str),
    /// A figure of the gateway.
    Own(fn(&GatewayInfo, &Settings) -> String),
    /// The sum, as in INFO.
    Sum,
    /// The sum, but 0 when any is 0: a limit, and 0 means that there is none.
    SumOfLimits,
    /// The least of all masters' values and this one of the gateway's.
    Least(fn(&Settings) -> usize),
    /// `yes` only when all say so.
    AllYes,
}

/// Options that are not told as the first master tells them. Most that are empty are passwords;
/// `primaryauth` is what Valkey calls `masterauth` since 8.0.
const TOLD: [(&str, Told); 19] = [
    ("appendonly", Told::AllYes),
    ("bind", Told::Own(|_, settings| settings.bind.to_string())),
    ("client-query-buffer-limit", Told::Least(|settings| settings.request_bytes_max)),
    ("cluster-enabled", Told::Const("no")),
    ("databases", Told::Own(|_, settings| settings.databases.to_string())),
    ("masterauth", Told::Const("")),
    ("maxclients", Told::Own(|own, _| own.clients_max.to_string())),
    ("maxmemory", Told::SumOfLimits),
    ("port", Told::Own(|own, _| own.tcp_port.to_string())),
    ("primaryauth", Told::Const("")),
    ("proto-max-bulk-len", Told::Least(|settings| settings.bulk_bytes_max)),
    ("repl-backlog-size", Told::Sum),
    ("requirepass", Told::Const("")),
    ("timeout", Told::Own(|_, settings| settings.idle_s.to_string())),
    ("tls-client-key-file-pass", Told::Const("")),
    ("tls-key-file-pass", Told::Const("")),
    ("tls-port", Told::Const("0")),
    ("unixsocket", Told::Const("")),
    ("unixsocketperm", Told::Const("0")),
];

/// The request of a CONFIG SET for each of so many masters, when it sets what is told as their sum:
/// each gets its share.
pub(crate) fn with_shares(args: Args<'_>, masters: usize) -> Option<Vec<u8>> {
    let is_sum = |at: usize| {
        at >= 2 && at.is_multiple_of(2) && args.get(at).eq_ignore_ascii_case(b"maxmemory")
    };
    if !(2..args.len()).any(is_sum) {
        return None;
    }
    let mut request = Vec::new();
    write::array_len(&mut request, args.len());
    for (at, word) in args.iter().enumerate() {
        let bytes = if at > 0 && is_sum(at - 1) { memory(word) } else { None };
        match bytes {
            Some(bytes) => {
                let share = bytes.div_ceil(masters.max(1) as u64);
                write::bulk(&mut request, share.to_string().as_bytes());
            }
            // A node says what is wrong with it.
            None => write::bulk(&mut request, word),
        }
    }
    Some(request)
}

/// An amount of memory as CONFIG SET takes it: `100mb`.
fn memory(word: &[u8]) -> Option<u64> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number: u64 = std::str::from_utf8(&word[..digits]).ok()?.parse().ok()?;
    let factor = match word[digits..].to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Which events of the keyspace a CONFIG SET asks for, if it says so; the last word counts.
pub(crate) fn event_classes(args: Args<'_>) -> Option<&[u8]> {
    let is = |at: &usize| args.get(*at).eq_ignore_ascii_case(OPTION) && at + 1 < args.len();
    (2..args.len()).step_by(2).rev().find(is).map(|at| args.get(at + 1))
}

/// One reply made of the masters'; those that are errors count for nothing. `None` when none is
/// made as a reply to CONFIG GET is.
pub(crate) fn merge(parts: &[&[u8]], own: &GatewayInfo, settings: &Settings) -> Option<Vec<u8>> {
    let (mut replies, mut first) = (Vec::new(), None);
    for part in parts.iter().filter(|part| !part.starts_with(b"-")) {
        let (header, reply) = pairs(part)?;
        first.get_or_insert((header, part.len()));
        replies.push(reply);
    }
    let (header, len) = first?;
    let mut out = Vec::with_capacity(len);
    out.extend_from_slice(header);
    for (name, value) in replies.first()? {
        out.extend_from_slice(name);
        let Some(told) = told_of(name) else {
            out.extend_from_slice(value);
            continue;
        };
        let values = replies.iter().filter_map(|reply| {
            let (_, value) = reply.iter().find(|(other, _)| other == name)?;
            Some(text(value))
        });
        write::bulk(&mut out, told.value(values, own, settings).as_bytes());
    }
    Some(out)
}

/// The header of a reply, and its names and values as whole frames.
type Pairs<'a> = (&'a [u8], Vec<(&'a [u8], &'a [u8])>);

fn pairs(reply: &[u8]) -> Option<Pairs<'_>> {
    let (b'*' | b'%', Line::Integer { len, .. }) = (reply.first()?, integer_line(reply)) else {
        return None;
    };
    let (header, mut rest) = reply.split_at_checked(len)?;
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (name, after) = split_frame(rest)?;
        let (value, after) = split_frame(after)?;
        pairs.push((name, value));
        rest = after;
    }
    Some((header, pairs))
}

/// The text in a frame.
fn text(frame: &[u8]) -> Cow<'_, str> {
    let text = memchr::memchr(b'\n', frame).map_or(&[][..], |end| &frame[end + 1..]);
    String::from_utf8_lossy(text.strip_suffix(b"\r\n").unwrap_or(text))
}

fn told_of(name: &[u8]) -> Option<Told> {
    let name = text(name);
    TOLD.iter().find(|(option, _)| name.eq_ignore_ascii_case(option)).map(|(_, told)| *told)
}

impl Told {
    fn value<'a>(
        self,
        values: impl Iterator<Item = Cow<'a, str>>,
        own: &GatewayInfo,
        settings: &Settings,
    ) -> String {
        let mut values: Vec<Cow<'_, str>> = values.collect();
        let numbers = || values.iter().map(|value| value.parse::<u64>().ok());
        let sum = || numbers().sum::<Option<u64>>();
        let made = match self {
            Told::Const(value) => Some(value.to_owned()),
            Told::Own(figure) => Some(figure(own, settings)),
            Told::SumOfLimits if numbers().any(|number| number == Some(0)) => Some("0".to_owned()),
            Told::Sum | Told::SumOfLimits => sum().map(|sum| sum.to_string()),
            Told::Least(of) => {
                let least = numbers().try_fold(of(settings) as u64, |least, n| Some(least.min(n?)));
                least.map(|least| least.to_string())
            }
            Told::AllYes => values.iter().any(|value| value != "yes").then(|| "no".to_owned()),
        };
        // What is no number is passed on.
        made.unwrap_or_else(|| values.drain(..).next().unwrap_or_default().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(parts: &[&str]) -> Option<String> {
        let own = GatewayInfo { clients_max: 77, tcp_port: 7010, ..GatewayInfo::default() };
        let settings = Settings {
            bind: [127, 0, 0, 1].into(),
            idle_s: 5,
            bulk_bytes_max: 100,
            request_bytes_max: 1000,
            databases: 16,
            keyless_scripts: crate::config::KeylessScripts::OneNode,
        };
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        merge(&parts, &own, &settings).map(|bytes| String::from_utf8(bytes).expect("text"))
    }

    fn reply(pairs: &[(&str, &str)]) -> String {
        let mut out = format!("*{}\r\n", pairs.len() * 2);
        for word in pairs.iter().flat_map(|(name, value)| [name, value]) {
            out += &format!("${}\r\n{word}\r\n", word.len());
        }
        out
    }

    #[test]
    fn passwords_are_empty_and_the_rest_is_as_it_was() {
        let pairs = |password: &str| {
            format!(
                "$4\r\nsave\r\n$0\r\n\r\n$11\r\nrequirepass\r\n{password}$3\r\ndir\r\n$1\r\n/\r\n"
            )
        };
        for header in ["*6\r\n", "%3\r\n"] {
            let asked = format!("{header}{}", pairs("$6\r\ns3cret\r\n"));
            assert_eq!(shown(&[&asked]), Some(format!("{header}{}", pairs("$0\r\n\r\n"))));
        }
        for name in ["PrimaryAuth", "masterauth", "tls-key-file-pass", "tls-client-key-file-pass"] {
            assert_eq!(shown(&[&reply(&[(name, "x")])]), Some(reply(&[(name, "")])));
        }
        for same in ["*0\r\n", "%0\r\n"] {
            assert_eq!(shown(&[same]).as_deref(), Some(same));
        }
    }

    #[test]
    fn values_are_those_of_one_server() {
        for (name, values, told) in [
            ("maxmemory", ["100", "200", "300"], "600"),
            ("maxmemory", ["100", "0", "300"], "0"),
            ("maxmemory", ["100", "many", "300"], "100"),
            ("repl-backlog-size", ["1", "2", "0"], "3"),
            ("maxclients", ["1", "2", "3"], "77"),
            ("databases", ["16", "16", "16"], "16"),
            ("cluster-enabled", ["yes", "yes", "yes"], "no"),
            ("port", ["1", "2", "3"], "7010"),
            ("bind", ["* -::*", "", ""], "127.0.0.1"),
            ("timeout", ["0", "0", "0"], "5"),
            ("proto-max-bulk-len", ["500", "600", "700"], "100"),
            ("proto-max-bulk-len", ["500", "60", "700"], "60"),
            ("client-query-buffer-limit", ["2000", "1500", "9999"], "1000"),
            ("appendonly", ["yes", "no", "yes"], "no"),
            ("appendonly", ["yes", "yes", "yes"], "yes"),
            ("save", ["3600 1", "", ""], "3600 1"),
        ] {
            let parts = values.map(|value| reply(&[("hz", "10"), (name, value)]));
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let want = Some(reply(&[("hz", "10"), (name, told)]));
            assert_eq!(shown(&parts), want, "{name} {values:?}");
        }
    }

    #[test]
    fn errors_count_for_nothing() {
        let one = reply(&[("maxmemory", "5")]);
        assert_eq!(shown(&["-ERR no\r\n", &one, &one]), Some(reply(&[("maxmemory", "10")])));
        assert_eq!(shown(&["-ERR no\r\n"]), None);
        assert_eq!(shown(&[]), None);
    }

    #[test]
    fn what_is_no_such_reply_is_none() {
        for reply in ["", "+OK\r\n", "*1\r\n$1\r\na\r\n", "*2\r\n$1\r\na\r\n$9\r\nb\r\n"] {
            assert_eq!(shown(&[reply]), None, "{reply:?}");
        }
    }
}
