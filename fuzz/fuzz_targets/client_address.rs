//! Whatever a header says, a peer that isn't trusted is the client.
#![no_main]

use libfuzzer_sys::fuzz_target;
use statuspulse_policy::{ClientAddress, ClientIpPolicy, HeaderKind, TrustedProxies};

fuzz_target!(|bytes: &[u8]| {
    let Ok(trusted) = TrustedProxies::parse("10.0.0.0/8") else { return };
    for name in ["x-forwarded-for", "forwarded"] {
        let Ok(header) = HeaderKind::from_name(name) else { return };
        let policy = ClientIpPolicy::new(&trusted, header);
        let lines = || bytes.split(|byte| *byte == b'\n');
        let stranger = "203.0.113.7".parse().ok();
        assert_eq!(policy.resolve(stranger, lines()), ClientAddress::from(stranger));
        let _ = policy.resolve("10.0.0.1".parse().ok(), lines());
    }
});
