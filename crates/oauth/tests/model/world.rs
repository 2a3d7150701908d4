//! Plays a history on both sides and writes down what each step left behind.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Duration, Utc};
use statuspulse_oauth::{AppStatus, Challenge};
use statuspulse_policy::{ScopeBit, ScopeSet};

use crate::{
    db::{Db, Outcome, REDIRECT_URI, Request, secret_of},
    reference::Reference,
};

/// Bits 0 to 2 are the app's; 3 is a scope that it never has.
const SCOPES: [&str; 4] = ["monitoring:read", "alerts:write", "incidents:write", "checks:read"];
/// RFC 7636, Appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// In which way a request is right or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Right,
    OtherApp,
    WrongSecret,
    WrongUri,
    WrongVerifier,
    NoVerifier,
    ForeignResource,
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Consent {
        scopes: u8,
        pkce: bool,
    },
    Redeem {
        chain: usize,
        how: How,
    },
    RedeemTwiceAtOnce {
        chain: usize,
    },
    Refresh {
        chain: usize,
        back: usize,
        asked: Option<u8>,
        how: How,
    },
    RefreshTwiceAtOnce {
        chain: usize,
        back: usize,
    },
    /// The current token is used every 20 days, so many times.
    KeepUp {
        chain: usize,
        turns: usize,
    },
    Revoke {
        chain: usize,
    },
    Scopes {
        scopes: u8,
    },
    Window {
        seconds: u32,
    },
    SuspendAndResume,
    Active {
        active: bool,
    },
    Member {
        member: bool,
    },
    Tick {
        seconds: i64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Issue { scopes: u8 },
    Retry { scopes: u8 },
    Kill,
    Refuse,
}

/// A token that works.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) grant: usize,
    pub(crate) scopes: u8,
    /// Whether it is a refresh token.
    pub(crate) renews: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) scopes: u8,
    pub(crate) consented: u8,
    pub(crate) decided: i64,
}

/// What a step left behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) op: String,
    pub(crate) now: i64,
    pub(crate) grant: Option<usize>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) expected: Vec<Answer>,
    pub(crate) changed: bool,
    pub(crate) live: Vec<Live>,
    pub(crate) grants: Vec<Granted>,
    pub(crate) app_scopes: u8,
    pub(crate) app_is_active: bool,
    pub(crate) is_member: bool,
    /// A retry gave another token than the current one.
    pub(crate) other_successor: bool,
}

/// What the client of a chain holds.
struct Held {
    pkce: bool,
    consented: u8,
    decided: i64,
    code: String,
    refresh: Vec<String>,
}

pub(crate) struct World {
    now: i64,
    db: Db,
    reference: Reference,
    held: Vec<Held>,
    other_successor: bool,
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + Duration::seconds(seconds)
}

impl World {
    pub(crate) fn new() -> Self {
        let reference = Reference {
            now: 0,
            app_scopes: 0b111,
            window: 0,
            active: true,
            member: true,
            valid_from: 0,
            chains: Vec::new(),
        };
        let mut world = Self { now: 0, db: Db::new(at(0)), reference, held: Vec::new(), other_successor: false };
        world.db.apps[0].scopes = world.set(0b111);
        world.db.apps[1].scopes = world.set(0b1111);
        world
    }

    fn bit(&self, place: usize) -> ScopeBit {
        self.db.catalog().scope(SCOPES[place]).unwrap()
    }

    fn set(&self, bits: u8) -> ScopeSet {
        (0..SCOPES.len()).filter(|place| bits & (1 << place) != 0).map(|place| self.bit(place)).collect()
    }

    fn bits(&self, set: ScopeSet) -> u8 {
        (0..SCOPES.len()).filter(|place| set.contains(self.bit(*place))).fold(0, |bits, place| bits | 1 << place)
    }

    pub(crate) fn run(mut self, history: Vec<Op>) -> Vec<Step> {
        history.into_iter().map(|op| self.step(&op)).collect()
    }

    fn step(&mut self, op: &Op) -> Step {
        let before = format!("{:?}", self.db);
        self.other_successor = false;
        let grant = self.grant_of(op);
        let (answers, expected) = self.play(op, grant);
        let now = at(self.now);
        let live = |(tokens, renews): (Vec<(usize, ScopeSet)>, bool)| {
            tokens.into_iter().map(move |(grant, scopes)| (grant, scopes, renews)).collect::<Vec<_>>()
        };
        let tokens = [(self.db.live_refresh_tokens(now), true), (self.db.live_access_tokens(now), false)];
        let tokens = tokens.into_iter().flat_map(live);
        Step {
            op: format!("{op:?}"),
            now: self.now,
            grant,
            answers,
            expected,
            changed: before != format!("{:?}", self.db),
            live: tokens.map(|(grant, scopes, renews)| Live { grant, scopes: self.bits(scopes), renews }).collect(),
            grants: self.granted(),
            app_scopes: self.bits(self.db.apps[0].scopes),
            app_is_active: self.db.apps[0].is_active(),
            is_member: self.db.person_remains,
            other_successor: self.other_successor,
        }
    }

    fn granted(&self) -> Vec<Granted> {
        let both = self.db.grants.iter().zip(&self.held);
        let one = |(grant, held): (&statuspulse_oauth::Grant, &Held)| Granted {
            scopes: self.bits(grant.scopes),
            consented: held.consented,
            decided: held.decided,
        };
        both.map(one).collect()
    }

    /// The chain that a step is about, of those that there are.
    fn grant_of(&self, op: &Op) -> Option<usize> {
        match op {
            Op::Redeem { chain, .. }
            | Op::RedeemTwiceAtOnce { chain }
            | Op::Refresh { chain, .. }
            | Op::RefreshTwiceAtOnce { chain, .. }
            | Op::KeepUp { chain, .. }
            | Op::Revoke { chain } => chain.checked_rem(self.held.len()),
            _ => None,
        }
    }

    /// Plays one step; the answers that were given and those that were expected.
    fn play(&mut self, op: &Op, chain: Option<usize>) -> (Vec<Answer>, Vec<Answer>) {
        match (op, chain) {
            (Op::Redeem { how, .. }, Some(chain)) => {
                (self.send(chain, &[self.redemption(chain, *how)]), vec![self.reference.redeem(chain, *how)])
            }
            (Op::RedeemTwiceAtOnce { .. }, Some(chain)) => {
                let request = || self.redemption(chain, How::Right);
                let requests = [request(), request()];
                (self.send(chain, &requests), [(); 2].map(|()| self.reference.redeem(chain, How::Right)).to_vec())
            }
            (Op::Refresh { back, asked, how, .. }, Some(chain)) => {
                let Some(number) = self.number(chain, *back) else { return (Vec::new(), Vec::new()) };
                let request = self.refreshment(chain, number, *asked, *how);
                (self.send(chain, &[request]), vec![self.reference.refresh(chain, number, *asked, *how)])
            }
            (Op::RefreshTwiceAtOnce { back, .. }, Some(chain)) => {
                let Some(number) = self.number(chain, *back) else { return (Vec::new(), Vec::new()) };
                let request = || self.refreshment(chain, number, None, How::Right);
                let requests = [request(), request()];
                let expected = |world: &mut Self| world.reference.refresh(chain, number, None, How::Right);
                (self.send(chain, &requests), [(); 2].map(|()| expected(self)).to_vec())
            }
            (Op::KeepUp { turns, .. }, Some(chain)) => (0..*turns).filter_map(|_| self.keep_up(chain)).unzip(),
            (Op::Revoke { .. }, Some(chain)) => {
                self.db.revoke(chain, at(self.now));
                self.reference.revoke(chain);
                (Vec::new(), Vec::new())
            }
            _ => {
                self.change(op);
                (Vec::new(), Vec::new())
            }
        }
    }

    fn keep_up(&mut self, chain: usize) -> Option<(Answer, Answer)> {
        self.tick(20 * 86_400);
        let number = self.number(chain, 0)?;
        let request = self.refreshment(chain, number, None, How::Right);
        let answer = self.send(chain, &[request]).pop()?;
        Some((answer, self.reference.refresh(chain, number, None, How::Right)))
    }

    fn change(&mut self, op: &Op) {
        match *op {
            Op::Consent { scopes, pkce } => {
                let challenge = if pkce { Challenge::parse(CHALLENGE) } else { None };
                let code = self.db.consent(self.set(scopes), challenge, at(self.now));
                self.held.push(Held { pkce, consented: scopes, decided: self.now, code, refresh: Vec::new() });
                self.reference.consent(scopes, pkce);
            }
            Op::Scopes { scopes } => {
                self.db.apps[0].scopes = self.set(scopes);
                self.reference.app_scopes = scopes;
            }
            Op::Window { seconds } => {
                self.db.apps[0].refresh_retry_seconds = seconds;
                self.reference.window = seconds.into();
            }
            Op::SuspendAndResume => {
                self.suspend();
                self.activate();
            }
            Op::Active { active: true } => self.activate(),
            Op::Active { active: false } => self.suspend(),
            Op::Member { member } => {
                self.db.person_remains = member;
                self.reference.member = member;
            }
            Op::Tick { seconds } => self.tick(seconds),
            _ => {}
        }
    }

    fn tick(&mut self, seconds: i64) {
        self.now += seconds;
        self.reference.now = self.now;
    }

    /// Suspending comes a moment after whatever was decided before it.
    fn suspend(&mut self) {
        self.tick(1);
        self.db.apps[0].status = AppStatus::Suspended;
        self.db.apps[0].tokens_valid_from = at(self.now);
        self.reference.active = false;
        self.reference.valid_from = self.now;
    }

    fn activate(&mut self) {
        self.db.apps[0].status = AppStatus::Active;
        self.reference.active = true;
    }

    /// The number of the refresh token that is so many older than the last one.
    fn number(&self, chain: usize, back: usize) -> Option<usize> {
        self.reference.count(chain).checked_sub(1 + back)
    }

    fn request(&self, how: How, fields: String) -> Request {
        let app = usize::from(how == How::OtherApp);
        let secret = secret_of(if how == How::WrongSecret { 1 - app } else { app });
        let pair = format!("{}:{}", self.db.apps[app].client_id, secret.expose());
        let resource = if how == How::ForeignResource { "&resource=https://evil.example" } else { "" };
        let authorization = format!("Basic {}", STANDARD.encode(pair)).into_bytes();
        Request { authorization, body: fields + resource }
    }

    fn redemption(&self, chain: usize, how: How) -> Request {
        let held = &self.held[chain];
        let verifier = match how {
            How::NoVerifier => String::new(),
            How::WrongVerifier => format!("&code_verifier={}", "x".repeat(43)),
            _ if held.pkce => format!("&code_verifier={VERIFIER}"),
            _ => String::new(),
        };
        let uri = if how == How::WrongUri { "https://app.example/ct" } else { REDIRECT_URI };
        let code = &held.code;
        self.request(how, format!("grant_type=authorization_code&code={code}&redirect_uri={uri}{verifier}"))
    }

    fn refreshment(&self, chain: usize, number: usize, asked: Option<u8>, how: How) -> Request {
        let names = |bits| self.db.catalog().names(self.set(bits)).join("+");
        let scope = asked.map_or(String::new(), |bits| format!("&scope={}", names(bits)));
        let token = &self.held[chain].refresh[number];
        self.request(how, format!("grant_type=refresh_token&refresh_token={token}{scope}"))
    }

    /// Sends requests that are all decided before the first of them is applied.
    fn send(&mut self, chain: usize, requests: &[Request]) -> Vec<Answer> {
        let now = at(self.now);
        let decided: Vec<_> = requests.iter().map(|request| self.db.decide(request, now)).collect();
        let mut answers = Vec::new();
        for (request, decided) in requests.iter().zip(decided) {
            let outcome = self.db.apply(request, decided, now);
            answers.push(self.receive(chain, outcome));
        }
        answers
    }

    fn receive(&mut self, chain: usize, outcome: Outcome) -> Answer {
        match outcome {
            Outcome::Issued { refresh, scopes } => {
                self.held[chain].refresh.push(refresh);
                Answer::Issue { scopes: self.bits(scopes) }
            }
            Outcome::Retried { refresh, scopes } => {
                self.other_successor |= self.held[chain].refresh.last() != Some(&refresh);
                Answer::Retry { scopes: self.bits(scopes) }
            }
            Outcome::Killed => Answer::Kill,
            Outcome::Refused => Answer::Refuse,
        }
    }
}
