//! What a phase asks of the target: one command, or a mix of several by their shares.
//!
//! Owns the names. Knows nothing of keys or bytes.

use std::fmt;

/// No share of a mix is larger.
const SHARE_MAX: u32 = 1000;

/// What a phase asks of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Write values.
    Set,
    /// Read them back and check them.
    Get,
    /// Write several at once.
    Mset,
    /// Read several at once.
    Mget,
    /// Several of these, by their shares.
    Mix,
    /// The commands of a file.
    Replay,
}

impl Op {
    /// The command's name; what has none is in small letters.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Op::Set => "SET",
            Op::Get => "GET",
            Op::Mset => "MSET",
            Op::Mget => "MGET",
            Op::Mix => "mix",
            Op::Replay => "replay",
        }
    }

    /// The same in names of files.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Op::Set => "set",
            Op::Get => "get",
            Op::Mset => "mset",
            Op::Mget => "mget",
            Op::Mix => "mix",
            Op::Replay => "replay",
        }
    }

    /// Whether it is a command of several keys.
    pub(crate) fn is_batch(self) -> bool {
        matches!(self, Op::Mset | Op::Mget)
    }

    /// Whether it is a command that counts on its keys being there.
    pub(crate) fn is_read(self) -> bool {
        matches!(self, Op::Get | Op::Mget)
    }
}

/// Commands with their shares, all of them positive and no command twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mix {
    shares: Vec<(Op, u32)>,
}

impl Mix {
    /// Reads `get:80,set:20`.
    pub(crate) fn parse(text: &str) -> Result<Mix, String> {
        let mut shares: Vec<(Op, u32)> = Vec::new();
        for part in text.split(',') {
            let (name, share) = part
                .split_once(':')
                .ok_or_else(|| format!("'{part}' is not a command and its share, as get:80"))?;
            let all = [Op::Set, Op::Get, Op::Mset, Op::Mget];
            let op = all
                .into_iter()
                .find(|op| op.file_name() == name)
                .ok_or_else(|| format!("'{name}' is none of get, set, mget, mset"))?;
            let share = share.parse().ok().filter(|share| (1..=SHARE_MAX).contains(share));
            let share = share.ok_or_else(|| format!("a share is 1 to {SHARE_MAX}"))?;
            if shares.iter().any(|(known, _)| *known == op) {
                return Err(format!("'{name}' is there twice"));
            }
            shares.push((op, share));
        }
        Ok(Mix { shares })
    }

    /// The commands.
    pub(crate) fn ops(&self) -> impl Iterator<Item = Op> + Clone {
        self.shares.iter().map(|(op, _)| *op)
    }

    /// All shares together.
    pub(crate) fn total(&self) -> u32 {
        self.shares.iter().map(|(_, share)| share).sum()
    }

    /// Whose share a number below the total falls into, as a place among the commands.
    pub(crate) fn place_of(&self, mut number: u32) -> usize {
        for (place, (_, share)) in self.shares.iter().enumerate() {
            if number < *share {
                return place;
            }
            number -= share;
        }
        0
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> =
            self.shares.iter().map(|(op, share)| format!("{}:{share}", op.file_name())).collect();
        formatter.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_gives_each_command_its_share() {
        let mix = Mix::parse("get:3,set:1").unwrap();
        assert_eq!((mix.total(), mix.to_string().as_str()), (4, "get:3,set:1"));
        assert_eq!((0..4).map(|number| mix.place_of(number)).collect::<Vec<_>>(), [0, 0, 0, 1]);
    }

    #[test]
    fn what_is_no_mix_is_refused() {
        for text in ["", "get", "get:", "get:x", "get:0", "get:1001", "get:1,get:1", "del:1", ","] {
            assert!(Mix::parse(text).is_err(), "{text}");
        }
    }
}
