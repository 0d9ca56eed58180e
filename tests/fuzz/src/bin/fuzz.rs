//! libFuzzer around one target, named by `SIGILLO_FUZZ_TARGET`.
#![no_main]

use std::sync::OnceLock;

static TARGET: OnceLock<sigillo_fuzz::Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var(sigillo_fuzz::VARIABLE).unwrap_or_default();
        sigillo_fuzz::target(&name).unwrap_or_else(|| panic!("no fuzz target {name:?}"))
    });
    target(octets);
});
