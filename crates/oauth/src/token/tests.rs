use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::fixtures::{client_secret, digest_key, entropy};

const MANY: u64 = 10_000;

fn token(kind: TokenKind, number: u64) -> OpaqueToken {
    OpaqueToken::from_entropy(kind, &entropy(number))
}

/// A prefix, and what makes such a text from a number.
type Maker = (&'static str, fn(u64) -> String);

/// Everything that is handed out, by name: codes, both tokens, secrets and client ids.
fn makers() -> [Maker; 5] {
    [
        ("sp_ac_", |number| token(TokenKind::Code, number).expose().to_owned()),
        ("sp_at_", |number| token(TokenKind::Access, number).expose().to_owned()),
        ("sp_rt_", |number| token(TokenKind::Refresh, number).expose().to_owned()),
        ("sp_cs_", |number| client_secret(number).expose().to_owned()),
        ("sp_app_", |number| ClientId::from_entropy(&entropy(number)).to_string()),
    ]
}

/// CRC-32 as ITU-T V.42 defines it, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// The first match of `sp_(WORDS)_[A-Za-z0-9_-]{LENGTH}` in a text: what a scanner for leaked secrets does.
fn find<'t>(words: &[&str], length: usize, text: &'t str) -> Option<&'t str> {
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (0..text.len()).find_map(|from| {
        let rest = text.get(from..)?;
        let head = words.iter().map(|word| format!("sp_{word}_")).find(|head| rest.starts_with(head))?;
        let found = rest.get(..head.len() + length)?;
        found.bytes().skip(head.len()).all(alphabet).then_some(found)
    })
}

/// spec: oauth N2
#[test]
fn ten_thousand_of_each_kind_are_distinct() {
    let distinct = makers().map(|(_, make)| (0..MANY).map(make).collect::<HashSet<_>>().len());
    assert_eq!(distinct, [MANY as usize; 5]);
}

/// spec: oauth N2
#[test]
fn every_position_behind_the_prefix_varies() {
    let fixed = |(prefix, make): Maker| {
        let texts: Vec<Vec<u8>> = (0..MANY).map(|number| make(number).into_bytes()).collect();
        let varies = |place: usize| texts.iter().any(|text| text[place] != texts[0][place]);
        (0..texts[0].len()).filter(|place| !varies(*place)).count() == prefix.len()
    };
    assert_eq!(makers().map(fixed), [true; 5]);
}

/// spec: oauth N2
#[test]
fn form_and_checksum_are_those_of_the_contract() {
    let documented = |prefix: &str, entropy: &[u8], split: bool| {
        let crc = crc32(&[prefix.as_bytes(), entropy].concat()).to_be_bytes();
        let parts = if split {
            URL_SAFE_NO_PAD.encode(entropy) + &URL_SAFE_NO_PAD.encode(crc)
        } else {
            URL_SAFE_NO_PAD.encode([entropy, &crc].concat())
        };
        [prefix, &parts].concat()
    };
    let differs = |number: u64| {
        let made = makers().map(|(_, make)| make(number));
        let bytes = entropy::<TOKEN_ENTROPY>(number);
        let expected = [
            documented("sp_ac_", &bytes, false),
            documented("sp_at_", &bytes, false),
            documented("sp_rt_", &bytes, false),
            documented("sp_cs_", &entropy::<SECRET_ENTROPY>(number), true),
            format!("sp_app_{}", URL_SAFE_NO_PAD.encode(entropy::<CLIENT_ID_ENTROPY>(number))),
        ];
        made != expected
    };
    assert_eq!((0..MANY).find(|number| differs(*number)), None);
}

#[test]
fn lengths_are_those_of_the_contract() {
    assert_eq!(makers().map(|(_, make)| make(7).len()), [70, 70, 70, 55, 29]);
}

/// spec: oauth N14
#[test]
fn the_published_pattern_finds_every_token() {
    let found = |number: u64| {
        [TokenKind::Access, TokenKind::Refresh, TokenKind::Code].iter().all(|kind| {
            let token = token(*kind, number);
            let text = format!("curl -H 'Authorization: Bearer {}'", token.expose());
            find(&["at", "rt", "ac"], 64, &text) == Some(token.expose())
        })
    };
    assert_eq!((0..MANY).find(|number| !found(*number)), None);
}

/// spec: oauth N14
#[test]
fn the_published_pattern_finds_every_secret() {
    let found = |number: u64| {
        let secret = client_secret(number);
        let text = format!("{{\"client_secret\":\"{}\"}}", secret.expose());
        find(&["cs"], 49, &text) == Some(secret.expose())
    };
    assert_eq!((0..MANY).find(|number| !found(*number)), None);
}

#[test]
fn one_kind_of_token_is_no_token_of_another_kind() {
    let access = token(TokenKind::Access, 1);
    let others = [TokenKind::Code, TokenKind::Refresh];
    assert!(others.iter().all(|kind| OpaqueToken::parse_as(*kind, access.expose()).is_none()));
}

#[test]
fn another_prefix_in_front_of_a_body_breaks_the_checksum() {
    let swapped = token(TokenKind::Access, 1).expose().replace("sp_at_", "sp_rt_");
    assert!(OpaqueToken::parse(&swapped).is_none());
}

#[test]
fn a_token_is_never_repaired() {
    let text = token(TokenKind::Code, 1).expose().to_owned();
    let upper = text.replace("sp_ac_", "SP_AC_");
    let spellings = [format!(" {text}"), format!("{text} "), format!("{text}="), format!("{text}\n"), upper];
    assert!(spellings.iter().all(|text| OpaqueToken::parse(text).is_none()));
}

/// Where the checksum ends in zeros, a reader that fills up with them would take a token that lacks its end.
#[test]
fn a_token_that_is_cut_short_is_none() {
    let cut = |number: &u64| {
        let token = token(TokenKind::Access, *number);
        (1..=3).any(|less| OpaqueToken::parse(&token.expose()[..TOKEN_LENGTH - less]).is_some())
    };
    assert_eq!((0..MANY).find(cut), None);
}

#[test]
fn a_secret_is_never_repaired() {
    let text = client_secret(1).expose().to_owned();
    let spellings = [format!(" {text}"), format!("{text}="), text.replace("sp_cs_", "sp_CS_"), text[..54].to_owned()];
    assert!(!spellings.iter().any(|text| ClientSecret::is_well_formed(text)));
}

#[test]
fn a_client_id_has_one_spelling() {
    // 22 characters hold 132 bits; the last four are spare, and only zero is an id's.
    let text = ClientId::from_entropy(&[0; CLIENT_ID_ENTROPY]).to_string();
    let spelled = |last| ClientId::parse(&format!("{}{last}", &text[..CLIENT_ID_LENGTH - 1])).is_some();
    assert_eq!(["A", "B", "="].map(spelled), [true, false, false]);
}

#[test]
fn the_last_four_characters_of_a_secret_are_its_last_four() {
    let secret = client_secret(1);
    assert!(secret.last4().len() == 4 && secret.expose().ends_with(secret.last4()));
}

#[test]
fn debug_shows_nothing_of_a_secret() {
    let key = digest_key(1);
    let secret = client_secret(1);
    let token = token(TokenKind::Access, 1);
    let shown = format!("{token:?} {secret:?} {:?} {key:?}", key.token(&token));
    assert_eq!(shown, "OpaqueToken(sp_at_…) ClientSecret(sp_cs_…) TokenDigest(…) DigestKey(1)");
}

#[test]
fn the_digests_of_one_text_for_different_purposes_differ() {
    let key = digest_key(1);
    let token = token(TokenKind::Access, 1);
    let text = token.expose();
    let digests = [key.token(&token), key.jwt(text), key.secret(text), key.handle(text)];
    let distinct: HashSet<[u8; 32]> = digests.iter().map(|digest| *digest.as_bytes()).collect();
    assert_eq!(distinct.len(), 4);
}

#[test]
fn the_digests_under_two_master_keys_differ() {
    assert!(!digest_key(1).secret("x").matches(&digest_key(2).secret("x")));
}

#[test]
fn a_digest_is_read_back_from_its_bytes() {
    let digest = digest_key(1).secret("x");
    assert!(TokenDigest::from_bytes(*digest.as_bytes()).matches(&digest));
}

#[test]
fn a_digest_needs_the_key() {
    let digest = digest_key(1).secret("x");
    assert_ne!(digest.as_bytes().as_slice(), <sha2::Sha256 as sha2::Digest>::digest("x").as_slice());
}

fn kind() -> impl Strategy<Value = TokenKind> {
    prop_oneof![Just(TokenKind::Code), Just(TokenKind::Access), Just(TokenKind::Refresh)]
}

fn changed(text: &str, at: usize, put: char) -> String {
    text.chars().enumerate().map(|(place, character)| if place == at { put } else { character }).collect()
}

proptest! {
    #[test]
    fn every_token_reads_back_as_itself(kind in kind(), number in any::<u64>()) {
        let token = token(kind, number);
        let read = OpaqueToken::parse(token.expose()).unwrap();
        prop_assert_eq!((read.expose(), read.kind()), (token.expose(), kind));
    }

    #[test]
    fn every_change_of_one_character_of_a_token_is_refused(
        kind in kind(), number in any::<u64>(), at in 0..TOKEN_LENGTH, put in any::<char>(),
    ) {
        let token = token(kind, number);
        let other = changed(token.expose(), at, put);
        prop_assume!(other != token.expose());
        prop_assert!(OpaqueToken::parse(&other).is_none());
    }

    #[test]
    fn every_change_of_one_character_of_a_secret_is_refused(
        number in any::<u64>(), at in 0..SECRET_LENGTH, put in "[A-Za-z0-9_-]",
    ) {
        let secret = client_secret(number);
        let other = changed(secret.expose(), at, put.chars().next().unwrap());
        prop_assert_eq!(ClientSecret::is_well_formed(&other), other == secret.expose());
    }

    #[test]
    fn every_client_id_reads_back_as_itself(number in any::<u64>()) {
        let id = ClientId::from_entropy(&entropy(number));
        prop_assert_eq!(ClientId::parse(id.as_str()), Some(id));
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text in "(sp_(at|rt|ac|cs|app)_)?.{0,80}") {
        let known = OpaqueToken::parse(&text).is_some() || ClientSecret::is_well_formed(&text);
        prop_assert!(!known);
    }
}
