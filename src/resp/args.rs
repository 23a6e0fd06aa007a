//! One request as a list of arguments inside a buffer.
//!
//! Owns the borrowed view of a request's words. Knows nothing of commands, and copies nothing.

/// A request: its words, each a range of the buffer that holds the request.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    ranges: &'a [(u32, u32)],
}

impl<'a> Args<'a> {
    /// `ranges` are `(start, end)` offsets into `bytes`, as the scanner found them.
    pub fn new(bytes: &'a [u8], ranges: &'a [(u32, u32)]) -> Self {
        Args { bytes, ranges }
    }

    /// How many words the request has, the command's name included.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether the request has no word at all.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The word at `index` (0 is the command's name); empty when there is none.
    pub fn get(&self, index: usize) -> &'a [u8] {
        match self.ranges.get(index) {
            Some(&(start, end)) => self.bytes.get(start as usize..end as usize).unwrap_or(&[]),
            None => &[],
        }
    }

    /// The words from `first` up to `end`, which it does not include, as the client sent them: with
    /// their `$` lines. Only where the buffer holds a request as [`super::RequestScanner`] read it.
    pub fn as_sent(&self, first: usize, end: usize) -> &'a [u8] {
        let end_of = |index: usize| self.ranges.get(index).map(|(_, end)| *end as usize + 2);
        let start = match first.checked_sub(1) {
            // Before the first word there is nothing but the number of words, in a few digits.
            None => self.bytes.iter().position(|byte| *byte == b'$'),
            Some(before) => end_of(before),
        };
        let range = start.zip(end.checked_sub(1).and_then(end_of));
        let words = range.and_then(|(start, end)| self.bytes.get(start..end));
        debug_assert!(words.is_some(), "words that the request does not have");
        words.unwrap_or(&[])
    }

    /// All words in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.ranges.iter().map(move |&(s, e)| bytes.get(s as usize..e as usize).unwrap_or(&[]))
    }
}
