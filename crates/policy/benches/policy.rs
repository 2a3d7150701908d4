//! What a decision costs: the whole of it with lists of several sizes, and its parts.
//!
//! `cargo bench -p statuspulse-policy`

use std::error::Error;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use chrono::{DateTime, Utc};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use statuspulse_policy::{
    Allowlist, CanonicalPath, Catalog, Cidr, ClientAddress, ClientIpPolicy, Environment, Grant, HeaderKind, Request,
    Served, TrustedProxies, decide, explain,
};

/// Networks of sixteen addresses with gaps between them, so that none are joined.
fn scattered(count: u32) -> Vec<Cidr> {
    (0..count).filter_map(|n| Cidr::enclosing(IpAddr::V4(Ipv4Addr::from((n + 1) * 0x0001_0040)), 28)).collect()
}

fn grant<'a>(catalog: &Catalog, list: Option<&'a Allowlist>) -> Grant<'a> {
    Grant {
        environment: Environment::Production,
        scopes: catalog.all(),
        allowlist: list,
        organization_allowlist: None,
        revoked_from: None,
        expires_at: DateTime::<Utc>::MAX_UTC,
        disabled: false,
    }
}

fn decisions(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let catalog = Catalog::builtin()?;
    let now = DateTime::<Utc>::UNIX_EPOCH;
    let mut group = criterion.benchmark_group("decide");
    for count in [10, 256, 10_000] {
        let list = Allowlist::from_cidrs(scattered(count));
        let grant = grant(&catalog, Some(&list));
        let middle = list.entries().get(list.entries().len() / 2).ok_or("the list is empty")?.first();
        let request = Request {
            client: ClientAddress::Known(middle),
            served: Served::Any,
            requirement: catalog.requirement("GET", "/api/v1/checks/7"),
        };
        decide(&grant, &request, &catalog, now).map_err(|denial| denial.code.as_str())?;
        group.bench_with_input(BenchmarkId::new("networks", count), &request, |bencher, request| {
            bencher.iter(|| decide(black_box(&grant), black_box(request), &catalog, now).is_ok());
        });
        group.bench_with_input(BenchmarkId::new("allowlist_alone", count), &middle, |bencher, ip| {
            bencher.iter(|| list.contains(black_box(*ip)));
        });
    }
    let grant = grant(&catalog, None);
    group.bench_function("with_method_and_path", |bencher| {
        bencher.iter(|| {
            let request = Request {
                client: ClientAddress::Unknown,
                served: Served::Any,
                requirement: catalog.requirement(black_box("GET"), black_box("/api/v1/checks/7")),
            };
            decide(black_box(&grant), &request, &catalog, now).is_ok()
        });
    });
    group.bench_function("explain", |bencher| {
        let request = Request {
            client: ClientAddress::Unknown,
            served: Served::Any,
            requirement: catalog.requirement("GET", "/api/v1/checks/7"),
        };
        bencher.iter(|| explain(black_box(&grant), &request, &catalog, now));
    });
    group.finish();
    Ok(())
}

fn parts(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let catalog = Catalog::builtin()?;
    criterion.bench_function("path/canonical", |bencher| {
        bencher.iter(|| CanonicalPath::parse(black_box("/api/v1/checks/4711/results?from=yesterday")).is_ok());
    });
    criterion.bench_function("path/rewritten", |bencher| {
        bencher.iter(|| CanonicalPath::parse(black_box("/api/v1/%63hecks/4711/r%c3%a4sults/")).is_ok());
    });
    criterion.bench_function("requirement", |bencher| {
        bencher.iter(|| catalog.requirement(black_box("GET"), black_box("/api/v1/metrics/export")));
    });
    for entry in ["203.0.113.0/24", "2001:db8:7::/48", "::ffff:10.0.0.0/104"] {
        criterion.bench_with_input(BenchmarkId::new("cidr/parse", entry), &entry, |bencher, entry| {
            bencher.iter(|| Cidr::parse(black_box(entry)).is_ok());
        });
    }
    for count in [50, 10_000] {
        let cidrs = scattered(count);
        criterion.bench_with_input(BenchmarkId::new("allowlist/compile", count), &cidrs, |bencher, cidrs| {
            bencher.iter(|| Allowlist::from_cidrs(cidrs.clone()));
        });
    }
    let policy = ClientIpPolicy::new(&TrustedProxies::parse("10.0.0.0/8")?, HeaderKind::x_forwarded_for());
    let header: [&[u8]; 1] = [b"192.0.2.66, 203.0.113.9, 10.0.0.2"];
    criterion.bench_function("client_ip", |bencher| {
        let peer = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
        bencher.iter(|| policy.resolve(black_box(peer), black_box(header).into_iter()));
    });
    Ok(())
}

fn all(criterion: &mut Criterion) {
    if let Err(error) = decisions(criterion).and_then(|()| parts(criterion)) {
        panic!("the benches can't be set up: {error}");
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
