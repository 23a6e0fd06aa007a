//! What a node says of its cluster.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::slots::drive(data);
});
