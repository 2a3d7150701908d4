//! The address is judged at each attempt.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use statuspulse_delivery::{AllowedNetworks, Courier, Failure, Kind, Names, Target};

use crate::server::{PLENTY, Script, Server, courier, target};

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn with_names(allowed: &str, names: impl Names + 'static) -> Courier {
    Courier::new(AllowedNetworks::parse(allowed).unwrap(), Arc::new(names), PLENTY).unwrap()
}

/// What each URL comes to for a courier with these allowed networks.
async fn refused(allowed: &str, urls: &[String]) -> Vec<Option<Failure>> {
    let mut outcomes = Vec::new();
    for url in urls {
        outcomes.push(courier(allowed, PLENTY).send(&target(url), &[], String::new()).await.failure);
    }
    outcomes
}

#[tokio::test]
async fn a_literal_address_is_judged_again_when_it_is_dialled() {
    let server = Server::answering("200 OK", "", "").await;
    let port = server.address.port();
    let urls = [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("https://[::1]:{port}/"),
    ];
    let outcomes = refused("10.0.0.0/8", &urls).await;
    assert_eq!((outcomes, server.requests().len()), (vec![Some(Failure::AddressNotAllowed); 5], 0));
}

#[tokio::test]
async fn http_to_a_public_address_is_not_dialled() {
    assert_eq!(refused("127.0.0.0/8", &["http://8.8.8.8/".to_owned()]).await, [Some(Failure::AddressNotAllowed)]);
}

#[tokio::test]
async fn localhost_is_judged_by_its_address() {
    let server = Server::answering("200 OK", "", "").await;
    let urls = [format!("https://localhost:{}/", server.address.port())];
    assert_eq!((refused("", &urls).await, server.requests().len()), (vec![Some(Failure::AddressNotAllowed)], 0));
}

#[tokio::test]
async fn a_name_with_a_dot_at_its_end_is_judged_like_any_other() {
    let courier = with_names("", |_: &str| Ok(vec![LOOPBACK]));
    let outcome = courier.send(&target("https://localhost.:8443/"), &[], String::new()).await;
    assert_eq!(outcome.failure, Some(Failure::AddressNotAllowed));
}

/// spec: keys K41
#[tokio::test]
async fn of_the_addresses_of_a_name_only_allowed_ones_are_dialled() {
    let server = Server::answering("200 OK", "", "").await;
    let url = format!("http://both.example:{}/", server.address.port());
    // The first is an address of this machine too: it would answer.
    let both = |_: &str| Ok(vec![IpAddr::from([127, 9, 9, 9]), LOOPBACK]);
    let courier = with_names("127.0.0.1/32", both);
    let outcome = courier.send(&target(&url), &[], String::new()).await;
    assert_eq!((outcome.failure, server.requests().len()), (None, 1));
}

/// spec: keys K42
#[tokio::test]
async fn a_name_that_changes_to_a_private_address_is_not_dialled_again() {
    let server = Server::answering("200 OK", "", "").await;
    let url = format!("http://hooks.example:{}/", server.address.port());
    let moved = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&moved);
    let names =
        move |_: &str| Ok(vec![if now.load(Ordering::SeqCst) { IpAddr::from([127, 9, 9, 9]) } else { LOOPBACK }]);
    let allowed = AllowedNetworks::parse("127.0.0.1/32").unwrap();
    let target = Target::accept(&url, Kind::Standard, &allowed, &names).await.unwrap();
    let courier = with_names("127.0.0.1/32", names);
    let before = courier.send(&target, &[], String::new()).await.failure;
    moved.store(true, Ordering::SeqCst);
    let after = courier.send(&target, &[], String::new()).await.failure;
    assert_eq!((before, after, server.requests().len()), (None, Some(Failure::AddressNotAllowed), 1));
}

#[tokio::test]
async fn a_name_is_looked_up_for_each_attempt_even_if_the_connection_stays() {
    let server = Server::start(Script::Stay("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned())).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let courier = with_names("127.0.0.0/8", move |_: &str| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(vec![LOOPBACK])
    });
    let target = target(&format!("http://hooks.example:{}/", server.address.port()));
    for _ in 0..3 {
        courier.send(&target, &[], String::new()).await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_unknown_name_is_a_failed_connection() {
    let courier = with_names("", |_: &str| Err(io::ErrorKind::NotFound.into()));
    let outcome = courier.send(&target("https://nowhere.example/"), &[], String::new()).await;
    assert_eq!(outcome.failure, Some(Failure::ConnectFailed));
}
