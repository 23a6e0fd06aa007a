//! The payload sizes of a sweep, and how many keys each gets.
//!
//! Owns parsing of sizes, the doubling list and the labels. Knows nothing of values or sockets.
//! Invariant: a size is held in bytes; bits and the old client's labels are only ways to write it.

use std::fmt;

use clap::ValueEnum;

/// The largest payload the sweep will send; far above the old client's 8 MiB.
pub(crate) const PAYLOAD_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The most keys written at one size.
pub(crate) const KEYS_MAX: u64 = 1 << 20;

/// Unless told otherwise, the keys of one size together hold about this much.
const BYTES_PER_SIZE: u64 = 64 * 1024 * 1024;
/// Where each request has its own.
const NO_SIZE: &str = "as logged";
const KEYS_DEFAULT_MIN: u64 = 16;
const KEYS_DEFAULT_MAX: u64 = 10_000;

/// What a bare number in `--from` and `--to` counts, and what the old result files are labelled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Units {
    /// A size of 128 is 128 true bits: 16 bytes.
    Bits,
    /// A size of 128 is 128 bytes, although the old files call it bits: the old client's load.
    Bytes,
}

impl Units {
    /// The word used on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Units::Bits => "bits",
            Units::Bytes => "bytes",
        }
    }
}

/// One payload size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size {
    bytes: u64,
}

impl Size {
    /// Of what has no size of its own.
    pub(crate) const NONE: Size = Size { bytes: 0 };

    /// Reads `128`, `4M`, `512KiB`, `16B`, `4Mb`: a number, a binary prefix, then `b` for bits or
    /// `B` for bytes; with neither, `units` decides.
    pub(crate) fn parse(text: &str, units: Units) -> Result<Size, String> {
        let wrong = |why: &str| format!("size '{text}': {why}");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong("must begin with a whole number"))?;
        let (factor, rest) = match suffix.bytes().next() {
            Some(b'k' | b'K') => (1024, &suffix[1..]),
            Some(b'm' | b'M') => (1024 * 1024, &suffix[1..]),
            _ => (1, suffix),
        };
        let rest = rest.strip_prefix('i').unwrap_or(rest);
        let in_bits = match rest {
            "" => units == Units::Bits,
            "b" | "bit" | "bits" => true,
            "B" => false,
            _ => return Err(wrong("the unit is b (bits) or B (bytes), with an optional K or M")),
        };
        let amount = number.checked_mul(factor).ok_or_else(|| wrong("is too large"))?;
        if in_bits && amount % 8 != 0 {
            return Err(wrong("bits must make whole bytes"));
        }
        let bytes = if in_bits { amount / 8 } else { amount };
        match bytes {
            0 => Err(wrong("is too small: one byte at least")),
            1..=PAYLOAD_BYTES_MAX => Ok(Size { bytes }),
            _ => Err(wrong("is too large: 64 MiB at most")),
        }
    }

    /// `from`, doubled until past `to`.
    pub(crate) fn doubling(from: Size, to: Size) -> Vec<Size> {
        std::iter::successors(Some(from), |size| Some(Size { bytes: size.bytes * 2 }))
            .take_while(|size| *size <= to)
            .collect()
    }

    /// The payload's length in bytes.
    pub(crate) fn bytes(self) -> usize {
        // At most 64 MiB, which every supported pointer width holds.
        self.bytes as usize
    }

    /// The payload's length in true bits.
    pub(crate) fn bits(self) -> u64 {
        self.bytes * 8
    }

    /// The number the old client would print for this payload.
    pub(crate) fn label(self, units: Units) -> u64 {
        match units {
            Units::Bits => self.bits(),
            Units::Bytes => self.bytes,
        }
    }

    /// How many keys this size gets when the command line does not say.
    pub(crate) fn default_keys(self) -> u64 {
        (BYTES_PER_SIZE / self.bytes).clamp(KEYS_DEFAULT_MIN, KEYS_DEFAULT_MAX)
    }
}

/// How a size of so many bytes is written.
pub(crate) fn label_of(bytes: u64) -> String {
    Size { bytes }.to_string()
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Size::NONE {
            return formatter.write_str(NO_SIZE);
        }
        let (bytes, bits) = (self.bytes, self.bits());
        write!(formatter, "{} ({})", scaled(bits, "bit"), scaled(bytes, "B"))
    }
}

/// The same in bytes alone, for where there is little room.
pub(crate) fn short_label_of(bytes: u64) -> String {
    if bytes == 0 { NO_SIZE.to_owned() } else { scaled(bytes, "B") }
}

/// `4 Mbit`, `512 KiB`, `128 bit`: binary prefixes only where the number stays whole.
fn scaled(amount: u64, unit: &str) -> String {
    const KILO: u64 = 1024;
    let [kilo, mega] = if unit == "B" { ["Ki", "Mi"] } else { ["K", "M"] };
    if amount >= KILO * KILO && amount.is_multiple_of(KILO * KILO) {
        format!("{} {mega}{unit}", amount / (KILO * KILO))
    } else if amount >= KILO && amount.is_multiple_of(KILO) {
        format!("{} {kilo}{unit}", amount / KILO)
    } else {
        format!("{amount} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_sweep_is_sixteen_sizes_of_true_bits() {
        let from = Size::parse("128", Units::Bits).unwrap();
        let to = Size::parse("4M", Units::Bits).unwrap();
        let sizes = Size::doubling(from, to);
        assert_eq!(sizes.len(), 16);
        assert_eq!(sizes[0].bytes(), 16);
        assert_eq!(sizes[15].bytes(), 524_288);
        assert_eq!(sizes[15].bits(), 4_194_304);
    }

    #[test]
    fn in_bytes_the_labels_are_the_old_clients() {
        let size = Size::parse("128", Units::Bytes).unwrap();
        assert_eq!(
            (size.bytes(), size.label(Units::Bytes), size.label(Units::Bits)),
            (128, 128, 1024)
        );
    }

    #[test]
    fn an_explicit_unit_wins() {
        for (text, bytes) in [("16B", 16), ("4Mb", 524_288), ("512KiB", 524_288), ("1Kbit", 128)] {
            assert_eq!(Size::parse(text, Units::Bits).map(Size::bytes), Ok(bytes), "{text}");
            assert_eq!(Size::parse(text, Units::Bytes).map(Size::bytes), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn wrong_sizes_are_refused() {
        for text in ["", "b", "0", "12b", "65M B", "999M", "18446744073709551615M", "1Gb", "-8"] {
            assert!(Size::parse(text, Units::Bytes).is_err(), "{text}");
            assert!(Size::parse(text, Units::Bits).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_stay_modest_in_memory() {
        let keys = |text| Size::parse(text, Units::Bits).unwrap().default_keys();
        assert_eq!((keys("16B"), keys("512KiB"), keys("8MiB")), (10_000, 128, 16));
    }

    #[test]
    fn a_size_reads_in_both_units() {
        assert_eq!(Size::parse("4M", Units::Bits).unwrap().to_string(), "4 Mbit (512 KiB)");
        assert_eq!(Size::parse("128", Units::Bits).unwrap().to_string(), "128 bit (16 B)");
    }
}
