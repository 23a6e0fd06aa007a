//! The request scanner.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::request::drive(data);
});
