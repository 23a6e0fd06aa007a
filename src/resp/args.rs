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

    /// All words in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.ranges.iter().map(move |&(s, e)| bytes.get(s as usize..e as usize).unwrap_or(&[]))
    }
}
