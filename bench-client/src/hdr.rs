//! Histograms in the forms that the tools of HdrHistogram read.
//!
//! Owns those forms: the percentile text that its plotter opens, and the compressed one inside
//! interval logs. Knows nothing of phases or files.
//!
//! The compressed form is a zlib stream in Base64. Its blocks are stored, not packed: that needs no
//! other crate, every reader takes it, and the counts inside are short already.

use std::fmt::Write as _;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;

/// The second version of the encoding, with counts of varying length, and its compressed shell.
const COOKIE: u32 = 0x1c84_9313;
const COOKIE_COMPRESSED: u32 = 0x1c84_9314;

/// The most that a stored block of a zlib stream has.
const BLOCK_MAX: usize = 0xffff;

/// Percentiles per halving of the distance to 100 %, as the tools of HdrHistogram write them.
const TICKS_PER_HALF: u32 = 5;

/// One line of a percentile text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// The share of samples, 0 to 1.
    pub(crate) quantile: f64,
    /// The value, in milliseconds.
    pub(crate) ms: f64,
    /// Samples up to it.
    pub(crate) total: u64,
}

/// The percentile spectrum of microseconds.
pub(crate) fn spectrum(histogram: &Histogram<u32>) -> Vec<Point> {
    let mut total = 0;
    let point = |step: hdrhistogram::iterators::IterationValue<u32>| {
        total += step.count_since_last_iteration();
        Point {
            quantile: step.quantile_iterated_to(),
            ms: step.value_iterated_to() as f64 / 1000.0,
            total,
        }
    };
    histogram.iter_quantiles(TICKS_PER_HALF).map(point).collect()
}

/// The text that HdrHistogram's plotter opens, in milliseconds.
pub(crate) fn percentile_text(histogram: &Histogram<u32>) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    for Point { quantile, ms, total } in spectrum(histogram) {
        let _ = match quantile < 1.0 {
            true => writeln!(
                text,
                "{ms:12.3} {quantile:2.12} {total:10} {:14.2}",
                1.0 / (1.0 - quantile)
            ),
            false => writeln!(text, "{ms:12.3} {quantile:2.12} {total:10}"),
        };
    }
    let _ = write!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n\
         #[Max     = {:12.3}, Total count    = {:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]\n",
        histogram.mean() / 1000.0,
        histogram.stdev() / 1000.0,
        histogram.max() as f64 / 1000.0,
        histogram.len(),
        histogram.buckets(),
        2048
    );
    text
}

/// What stands at the end of a line of an interval log.
pub(crate) fn encoded(histogram: &Histogram<u32>) -> String {
    let plain = plain(histogram);
    let packed = zlib(&plain);
    let mut bytes = COOKIE_COMPRESSED.to_be_bytes().to_vec();
    bytes.extend_from_slice(&length(packed.len()).to_be_bytes());
    bytes.extend_from_slice(&packed);
    base64(&bytes)
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn plain(histogram: &Histogram<u32>) -> Vec<u8> {
    let mut counts = Vec::new();
    let mut zeros = 0_i64;
    for step in histogram.iter_all() {
        let count = i64::from(step.count_at_value());
        if count == 0 {
            zeros += 1;
            continue;
        }
        if zeros > 0 {
            put_zigzag(&mut counts, -std::mem::take(&mut zeros));
        }
        put_zigzag(&mut counts, count);
    }
    let mut bytes = COOKIE.to_be_bytes().to_vec();
    bytes.extend_from_slice(&length(counts.len()).to_be_bytes());
    bytes.extend_from_slice(&0_u32.to_be_bytes());
    bytes.extend_from_slice(&u32::from(histogram.sigfig()).to_be_bytes());
    bytes.extend_from_slice(&histogram.low().to_be_bytes());
    bytes.extend_from_slice(&histogram.high().to_be_bytes());
    bytes.extend_from_slice(&1.0_f64.to_be_bytes());
    bytes.extend_from_slice(&counts);
    bytes
}

/// Seven bits a byte, the sign in the lowest.
fn put_zigzag(bytes: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)) as u64;
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x78, 0x01];
    let blocks = bytes.chunks(BLOCK_MAX);
    let last = blocks.len().saturating_sub(1);
    for (place, block) in blocks.enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        packed.push(u8::from(place == last));
        packed.extend_from_slice(&length.to_le_bytes());
        packed.extend_from_slice(&(!length).to_le_bytes());
        packed.extend_from_slice(block);
    }
    packed.extend_from_slice(&adler32(bytes).to_be_bytes());
    packed
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    (high << 16) | low
}

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[u64]) -> Histogram<u32> {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        values.iter().for_each(|value| histogram.record(*value).unwrap());
        histogram
    }

    #[test]
    fn base64_is_the_usual() {
        let texts = ["", "f", "fo", "foo", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(texts, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYmFy"]);
    }

    #[test]
    fn the_checksum_is_the_usual() {
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
    }

    #[test]
    fn counts_are_written_with_runs_of_zeros() {
        // The counters for 0 to 4, then the one for 5.
        let bytes = plain(&histogram(&[5, 5]));
        assert_eq!(bytes[40..], [9, 4]);
        assert_eq!(bytes[4..8], 2_u32.to_be_bytes());
        assert!(encoded(&histogram(&[5])).starts_with("HISTFAAAA"));
    }

    #[test]
    fn a_percentile_text_ends_with_all_samples() {
        let text = percentile_text(&histogram(&[1000, 2000, 3000, 4000]));
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        let cells: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(cells, ["4.001", "1.000000000000", "4"]);
        assert!(
            text.contains("#[Max     =        4.001, Total count    =            4]"),
            "{text}"
        );
    }
}
