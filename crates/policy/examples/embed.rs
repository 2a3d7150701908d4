//! A service that judges calls itself: it reads a catalog once, holds grants in memory and decides call by call.
//!
//! `cargo run -p statuspulse-policy --example embed`

use std::error::Error;
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use statuspulse_policy::{
    AllowAny, Allowlist, Catalog, ClientIpPolicy, Environment, Grant, HeaderKind, Request, Served, TrustedProxies,
    decide, explain,
};

/// What such a service reads at its start.
struct Service {
    catalog: Catalog,
    client_ip: ClientIpPolicy,
    served: Served,
}

/// What the front end of the service takes out of a request.
struct Call<'a> {
    peer: IpAddr,
    forwarded: &'a [&'a str],
    method: &'a str,
    path: &'a str,
}

impl Service {
    fn start() -> Result<Self, Box<dyn Error>> {
        let proxies = TrustedProxies::parse("10.0.0.0/8")?;
        Ok(Self {
            catalog: Catalog::builtin()?,
            client_ip: ClientIpPolicy::new(&proxies, HeaderKind::x_forwarded_for()),
            served: Served::from_names(["production", "analytics"])?,
        })
    }

    fn answer(&self, grant: &Grant<'_>, call: &Call<'_>, now: DateTime<Utc>) -> u16 {
        let request = Request {
            client: self.client_ip.resolve(Some(call.peer), call.forwarded.iter().map(|line| line.as_bytes())),
            served: self.served,
            requirement: self.catalog.requirement(call.method, call.path),
        };
        match decide(grant, &request, &self.catalog, now) {
            Ok(()) => {
                println!("{} {}: 200", call.method, call.path);
                200
            }
            Err(denial) => {
                println!("{} {}: {} {}", call.method, call.path, denial.code.http_status(), denial.reason);
                for step in explain(grant, &request, &self.catalog, now).steps {
                    println!("    {} {}: {}", step.step.as_str(), step.outcome.as_str(), step.detail);
                }
                denial.code.http_status()
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let service = Service::start()?;
    let now = DateTime::from_timestamp(1_767_225_600, 0).ok_or("the time is out of range")?;
    let office = Allowlist::parse(&["203.0.113.0/24"], AllowAny::No)?;
    let grant = Grant {
        environment: Environment::Production,
        scopes: service.catalog.parse_scopes(["checks:read", "metrics:export"])?,
        allowlist: Some(&office),
        organization_allowlist: None,
        revoked_from: None,
        expires_at: now + TimeDelta::days(90),
        disabled: false,
    };

    let peer: IpAddr = "10.0.0.1".parse()?;
    let from_the_office: &[&str] = &["203.0.113.9"];
    let calls = [
        Call { peer, forwarded: from_the_office, method: "GET", path: "/api/v1/checks?state=down" },
        Call { peer, forwarded: from_the_office, method: "GET", path: "/api/v1/metrics/export" },
        Call { peer, forwarded: from_the_office, method: "DELETE", path: "/api/v1/checks/7" },
        Call { peer, forwarded: &["203.0.113.9, 198.51.100.1"], method: "GET", path: "/api/v1/checks" },
        Call { peer, forwarded: from_the_office, method: "GET", path: "/api/v1//checks" },
    ];
    let answers: Vec<u16> = calls.iter().map(|call| service.answer(&grant, call, now)).collect();
    assert_eq!(answers, [200, 200, 403, 403, 403]);
    Ok(())
}
