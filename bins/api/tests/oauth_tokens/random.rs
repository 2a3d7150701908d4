//! Random requests: whatever arrives, the answer is ours (oauth §4.1).

use statuspulse_app::{Entropy as _, env::NoEntropy};
use statuspulse_testkit::CountingEntropy;

use crate::{
    client::{Client, Tokens, confidential, public, with},
    help::outcome,
    support::{Reply, World},
};

/// Draws that are the same in each run of this test alone, and never repeat within one.
struct Dice;

impl Dice {
    fn roll(&self, sides: usize) -> usize {
        let mut bytes = [0; 8];
        let filled: Result<(), NoEntropy> = CountingEntropy.fill(&mut bytes);
        filled.unwrap();
        usize::try_from(u64::from_le_bytes(bytes) % sides as u64).unwrap()
    }

    fn pick<'a>(&self, list: &[&'a [u8]]) -> &'a [u8] {
        list[self.roll(list.len())]
    }

    fn bytes(&self, most: usize) -> Vec<u8> {
        (0..self.roll(most)).map(|_| self.roll(256).to_le_bytes()[0]).collect()
    }
}

const NAMES: [&[u8]; 18] = [
    b"grant_type",
    b"code",
    b"redirect_uri",
    b"code_verifier",
    b"refresh_token",
    b"client_id",
    b"client_secret",
    b"client_assertion",
    b"scope",
    b"resource",
    b"token",
    b"token_type_hint",
    b"foo",
    b"",
    b"%00",
    b"grant%5ftype",
    b"code[]",
    b"\xff",
];

/// A form of known and unknown names, good and odd values, joined in good and odd ways.
fn form(dice: &Dice, values: &[&[u8]]) -> Vec<u8> {
    const JOINTS: [&[u8]; 6] = [b"&", b"&", b"&", b"&&", b";", b"\r\n"];
    const EQUALS: [&[u8]; 5] = [b"=", b"=", b"=", b"==", b""];
    let mut form = Vec::new();
    for _ in 0..dice.roll(9) {
        form.extend_from_slice(dice.pick(&NAMES));
        form.extend_from_slice(dice.pick(&EQUALS));
        match dice.roll(6) {
            0 => form.extend(dice.bytes(40)),
            _ => form.extend_from_slice(dice.pick(values)),
        }
        form.extend_from_slice(dice.pick(&JOINTS));
    }
    form
}

/// Sends random forms to an endpoint; answers those requests that were not answered as they should be.
async fn faults(world: &World, path: &str, clients: &[Client], given: &Tokens) -> Vec<String> {
    let dice = Dice;
    let secrets: Vec<&[u8]> =
        clients.iter().flat_map(|client| [client.id.as_bytes(), client.secret.as_bytes()]).collect();
    let odd: [&[u8]; 14] = [
        b"authorization_code",
        b"refresh_token",
        b"client_credentials",
        b"https%3A%2F%2Fapp.example%2Fcb",
        crate::client::VERIFIER.as_bytes(),
        b"monitoring:read",
        b"%00",
        b"%zz",
        b"%",
        b"+",
        b"%f0%9f%94%91",
        b"\xc3\x28",
        b"http://auth.test",
        given.refresh.as_bytes(),
    ];
    let values = [secrets.as_slice(), &odd].concat();
    let mut faults = Vec::new();
    for _ in 0..200 {
        let body = form(&dice, &values);
        let mut ask = world.api.post(path).header("content-type", "application/x-www-form-urlencoded");
        // An address of its own for each, or the limit on failures would answer most of them.
        let ip = format!("198.51.{}.{}", dice.roll(256), dice.roll(256));
        ask = ask.peer(&ip);
        match dice.roll(4) {
            0 => {}
            1 => {
                let odd: Vec<u8> = dice.bytes(30).into_iter().filter(|byte| *byte >= 0x20 && *byte != 0x7f).collect();
                ask = ask.raw_header("authorization", &[b"Basic ", odd.as_slice()].concat());
            }
            _ => ask = ask.client(&clients[dice.roll(clients.len())]),
        }
        let reply = ask.body(body.clone()).send().await;
        if !is_ours(path, &reply) {
            faults.push(format!("{} {} for {}", reply.status, reply.text, String::from_utf8_lossy(&body)));
        }
    }
    faults
}

/// Whether it is an answer of the token endpoint or its siblings, whole and no fault.
fn is_ours(path: &str, reply: &Reply) -> bool {
    let registered = [
        "",
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
    ];
    // What the siblings answer to a good request has a form of its own.
    let other = reply.status == 200 && (path == "/oauth/revoke" || path == "/oauth/introspect");
    let (status, error) = outcome(reply);
    matches!(status, 200 | 400 | 401) && (other || registered.contains(&error.as_str()))
}

async fn of(path: &str) -> Vec<String> {
    let world = World::new().await;
    let clients = [
        world.app(confidential()).await,
        world.app(public()).await,
        world.app(with(confidential(), serde_json::json!({"refresh_retry_seconds": 60}))).await,
    ];
    let given = world.tokens(&clients[2]).await;
    faults(&world, path, &clients, &given).await
}

/// spec: oauth G22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_forms_at_the_token_endpoint_are_never_a_fault_of_ours() {
    assert_eq!(of("/oauth/token").await, Vec::<String>::new());
}

/// spec: oauth G22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_forms_at_the_refresh_endpoint_are_never_a_fault_of_ours() {
    assert_eq!(of("/oauth/refresh").await, Vec::<String>::new());
}

/// spec: oauth G22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_forms_at_the_revocation_and_introspection_endpoints_are_never_a_fault_of_ours() {
    let faults = [of("/oauth/revoke").await, of("/oauth/introspect").await].concat();
    assert_eq!(faults, Vec::<String>::new());
}
