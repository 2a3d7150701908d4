//! A canonical path has one spelling, and reading it again changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use statuspulse_policy::{CanonicalPath, Catalog};

fuzz_target!(|text: &str| {
    if let Ok(path) = CanonicalPath::parse(text) {
        let again = CanonicalPath::parse(path.as_str()).map(|again| again.as_str().to_owned());
        assert_eq!(again.as_deref(), Ok(path.as_str()));
        assert!(!path.as_str().contains("//") && !path.segments().any(|segment| segment == ".."));
    }
    if let Ok(catalog) = Catalog::builtin() {
        let _ = catalog.requirement("GET", text);
    }
});
