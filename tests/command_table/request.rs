//! A request written as a line.

use slotway::resp::Args;

/// A request's words, as a buffer and their places in it.
pub(crate) struct Request {
    pub(crate) text: String,
    words: Vec<String>,
    bytes: Vec<u8>,
    ranges: Vec<(u32, u32)>,
}

impl Request {
    /// Words between spaces; `''` is an empty word.
    pub(crate) fn of(text: &str) -> Request {
        let words: Vec<_> =
            text.split(' ').map(|word| if word == "''" { "" } else { word }).collect();
        Request::from_words(&words)
    }

    /// Words of any content.
    pub(crate) fn from_words(words: &[&str]) -> Request {
        let mut ranges = Vec::new();
        let mut end = 0;
        for word in words {
            ranges.push((end, end + word.len() as u32));
            end += word.len() as u32;
        }
        Request {
            text: words.join(" "),
            words: words.iter().map(|word| word.to_string()).collect(),
            bytes: words.concat().into_bytes(),
            ranges,
        }
    }

    /// The request as the gateway sees it.
    pub(crate) fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.ranges)
    }

    /// The request as it is sent.
    pub(crate) fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }
}
