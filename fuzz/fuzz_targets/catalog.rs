//! A catalog is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use statuspulse_policy::Catalog;

fuzz_target!(|text: &str| {
    let _ = Catalog::from_toml(text);
});
