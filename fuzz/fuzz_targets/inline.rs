//! Inline commands.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::inline::drive(data);
});
