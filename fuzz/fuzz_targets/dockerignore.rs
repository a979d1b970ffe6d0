#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skipper_laws::dockerignore(data));
