//! What is read as a network is written as the same one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use statuspulse_policy::{AllowAny, Allowlist, Cidr};

fuzz_target!(|text: &str| {
    if let Ok(cidr) = Cidr::parse(text) {
        assert_eq!(Cidr::parse(&cidr.to_string()), Ok(cidr));
        assert!(cidr.contains(cidr.first()) && cidr.contains(cidr.last()));
    }
    let entries: Vec<&str> = text.split(',').collect();
    let _ = Allowlist::parse(&entries, AllowAny::Yes);
});
