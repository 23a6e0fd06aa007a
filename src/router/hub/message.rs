//! What a node says to a subscriber, and what a subscriber is told: frames and their parts.
//!
//! Owns the form of both. Pure. See <https://redis.io/docs/latest/develop/pubsub/>.

use crate::command::Topic;
use crate::resp::number::{Line, integer_line};
use crate::resp::{Protocol, write};

/// A frame of a connection that is subscribed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// The node has taken note of a subscription, or of its end.
    Confirmed { topic: Topic, subscribed: bool, name: &'a [u8] },
    /// A message for the subscribers of `name`, which is its channel unless that is named.
    Message { topic: Topic, name: &'a [u8], channel: Option<&'a [u8]>, payload: &'a [u8] },
    /// An error, without its first byte.
    Error(&'a [u8]),
    /// An answer to PING, or something else that means nothing here.
    Other,
}

impl Frame<'_> {
    /// Reads a frame of RESP2; it is whole.
    pub(super) fn read(frame: &[u8]) -> Frame<'_> {
        if let [b'-', text @ ..] = frame {
            return Frame::Error(text.strip_suffix(b"\r\n").unwrap_or(text));
        }
        let Some((parts, count)) = parts(frame) else { return Frame::Other };
        let [kind, name, second, third] = parts;
        let topic = match kind.first() {
            Some(b'p') => Topic::Pattern,
            Some(b's') if kind.starts_with(b"ss") || kind.starts_with(b"sm") => Topic::Shard,
            Some(b's') if kind.starts_with(b"sun") => Topic::Shard,
            _ => Topic::Channel,
        };
        match (kind, count) {
            (b"message" | b"smessage", 3) => {
                Frame::Message { topic, name, channel: None, payload: second }
            }
            (b"pmessage", 4) => {
                Frame::Message { topic, name, channel: Some(second), payload: third }
            }
            (b"subscribe" | b"psubscribe" | b"ssubscribe", 3) => {
                Frame::Confirmed { topic, subscribed: true, name }
            }
            (b"unsubscribe" | b"punsubscribe" | b"sunsubscribe", 3) => {
                Frame::Confirmed { topic, subscribed: false, name }
            }
            _ => Frame::Other,
        }
    }
}

/// The first four parts of an array of strings and numbers, and how many it has.
fn parts(frame: &[u8]) -> Option<([&[u8]; 4], usize)> {
    let (b'*', Line::Integer { value: count, len }) = (*frame.first()?, integer_line(frame)) else {
        return None;
    };
    let count = usize::try_from(count).ok().filter(|count| *count <= 4)?;
    let (mut rest, mut parts) = (&frame[len..], [[].as_slice(); 4]);
    for part in &mut parts[..count] {
        let Line::Integer { value, len } = integer_line(rest) else { return None };
        let kind = *rest.first()?;
        rest = &rest[len..];
        if kind == b'$' && value >= 0 {
            let size = usize::try_from(value).ok()?;
            *part = rest.get(..size)?;
            rest = rest.get(size + 2..)?;
        }
    }
    Some((parts, count))
}

/// Begins a frame of `len` parts that nobody has asked for.
fn begin(out: &mut Vec<u8>, protocol: Protocol, len: usize) {
    match protocol {
        Protocol::Resp2 => write::array_len(out, len),
        Protocol::Resp3 => out.extend_from_slice(format!(">{len}\r\n").as_bytes()),
    }
}

/// A message, as its receiver gets it.
pub(super) fn write_message(
    out: &mut Vec<u8>,
    protocol: Protocol,
    topic: Topic,
    (name, channel, payload): (&[u8], Option<&[u8]>, &[u8]),
) {
    begin(out, protocol, if channel.is_some() { 4 } else { 3 });
    write::bulk(
        out,
        match topic {
            Topic::Channel => b"message",
            Topic::Pattern => b"pmessage",
            Topic::Shard => b"smessage",
        },
    );
    write::bulk(out, name);
    if let Some(channel) = channel {
        write::bulk(out, channel);
    }
    write::bulk(out, payload);
}

/// What tells a client that it is subscribed, or is not any more, and to how many it still is. Without
/// a name: it was subscribed to nothing.
pub fn write_confirmation(
    out: &mut Vec<u8>,
    protocol: Protocol,
    (topic, subscribed): (Topic, bool),
    name: Option<&[u8]>,
    count: usize,
) {
    begin(out, protocol, 3);
    let (subscribe, unsubscribe) = words(topic);
    write::bulk(out, if subscribed { subscribe } else { unsubscribe });
    match (name, protocol) {
        (Some(name), _) => write::bulk(out, name),
        (None, Protocol::Resp2) => out.extend_from_slice(b"$-1\r\n"),
        (None, Protocol::Resp3) => out.extend_from_slice(b"_\r\n"),
    }
    write::integer(out, i64::try_from(count).unwrap_or(i64::MAX));
}

/// The commands that begin and end subscriptions, in the case in which confirmations name them.
pub(super) fn words(topic: Topic) -> (&'static [u8], &'static [u8]) {
    match topic {
        Topic::Channel => (b"subscribe", b"unsubscribe"),
        Topic::Pattern => (b"psubscribe", b"punsubscribe"),
        Topic::Shard => (b"ssubscribe", b"sunsubscribe"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read() {
        let cases: [(&str, Frame<'_>); 7] = [
            (
                "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
                Frame::Confirmed { topic: Topic::Channel, subscribed: true, name: b"a" },
            ),
            (
                "*3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n",
                Frame::Confirmed { topic: Topic::Shard, subscribed: false, name: b"a" },
            ),
            (
                "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$0\r\n\r\n",
                Frame::Message { topic: Topic::Channel, name: b"a", channel: None, payload: b"" },
            ),
            (
                "*3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$1\r\nx\r\n",
                Frame::Message { topic: Topic::Shard, name: b"a", channel: None, payload: b"x" },
            ),
            (
                "*4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$2\r\nab\r\n$1\r\nx\r\n",
                Frame::Message {
                    topic: Topic::Pattern,
                    name: b"a*",
                    channel: Some(b"ab"),
                    payload: b"x",
                },
            ),
            ("-MOVED 1 a:1\r\n", Frame::Error(b"MOVED 1 a:1")),
            ("*2\r\n$4\r\npong\r\n$0\r\n\r\n", Frame::Other),
        ];
        for (frame, read) in cases {
            assert_eq!(Frame::read(frame.as_bytes()), read, "{frame}");
        }
        for nonsense in ["*9\r\n", "*3\r\n$9\r\nsub", "*1\r\n*1\r\n:1\r\n", ":1\r\n", "*-1\r\n", ""]
        {
            assert_eq!(Frame::read(nonsense.as_bytes()), Frame::Other, "{nonsense}");
        }
    }

    #[test]
    fn messages_are_written_for_each_protocol() {
        let written = |protocol, topic, parts| {
            let mut out = Vec::new();
            write_message(&mut out, protocol, topic, parts);
            String::from_utf8(out).unwrap()
        };
        let plain: (&[u8], Option<&[u8]>, &[u8]) = (b"a", None, b"x");
        assert_eq!(
            written(Protocol::Resp2, Topic::Channel, plain),
            "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"
        );
        assert_eq!(
            written(Protocol::Resp3, Topic::Pattern, (b"a*", Some(b"ab"), b"x")),
            ">4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$2\r\nab\r\n$1\r\nx\r\n"
        );
        let mut out = Vec::new();
        write_confirmation(&mut out, Protocol::Resp2, (Topic::Shard, false), None, 0);
        assert_eq!(out, b"*3\r\n$12\r\nsunsubscribe\r\n$-1\r\n:0\r\n");
    }
}
