//! What must hold for every input from outside, whatever its bytes are. Each module is one body: a
//! function `drive` that reads the bytes, panics when a property does not hold, and says how much it
//! accepted.
//!
//! Two drivers share the bodies: `tests/fuzz/main.rs` with chosen and mutated inputs, in every test
//! run, and the targets in `fuzz/`, which search for inputs. Knows only what the gateway's library
//! shows to all.

pub mod config;
pub mod inline;
pub mod reply;
pub mod request;
pub mod slots;

/// Bytes of an input that say how the rest is cut, and what else a body may choose.
pub const HEAD_BYTES: usize = 16;

/// An input as it arrives: in pieces.
pub struct Pieces<'a> {
    /// What a body chooses its settings by.
    pub choice: u8,
    /// Where the pieces end, in order; the last one ends with the input.
    pub cuts: Vec<usize>,
    /// All bytes.
    pub input: &'a [u8],
}

impl Pieces<'_> {
    /// Reads the head; `None` when there is not even that.
    pub fn of(data: &[u8]) -> Option<Pieces<'_>> {
        let (head, input) = data.split_at_checked(HEAD_BYTES)?;
        let place = |pair: &[u8; 2]| usize::from(u16::from_le_bytes(*pair)) % (input.len() + 1);
        let mut cuts: Vec<usize> = head[2..].as_chunks().0.iter().map(place).collect();
        cuts.push(input.len());
        cuts.sort_unstable();
        Some(Pieces { choice: head[0], cuts, input })
    }

    /// Where the pieces end when each byte comes by itself.
    pub fn bytewise(&self) -> Vec<usize> {
        (1..=self.input.len()).collect()
    }
}
