//! The reply scanner and the decoder.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::reply::drive(data);
});
