//! Keys that want a look (policy §9): what an auditor would ask about first.

use std::cmp::Reverse;

use chrono::{DateTime, Duration, Utc};
use statuspulse_keys::Status;
use statuspulse_policy::{Cidr, Environment};
use statuspulse_store::{
    Conn,
    keys::{self, KeyFilter, ListedKey},
    page::Position,
};

use super::{KeyView, views};
use crate::{app::App, caller::Access, error::AppError};

const PAGE: i64 = 200;
/// Keys that are shown under one reason, at most, where somebody wants fewer than all.
const LONGEST: i64 = 200;
/// A key that nobody has used for so long is one that nobody misses.
const UNUSED: Duration = Duration::days(30);
/// An end that is so near wants a successor.
const NEAR: Duration = Duration::days(14);
/// Networks with fewer bits hold more than 65,536 IPv4 addresses, or more than a provider gives to one customer.
const WIDE_V4: u8 = 16;
const WIDE_V6: u8 = 40;

/// Why a key wants a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attention {
    /// It may be used from any address.
    NoAllowlist,
    /// Its list may hold networks of any width.
    AllowAny,
    /// A network of its list is wide.
    WideAllowlist,
    /// It holds every scope that its environment allows.
    AllScopes,
    /// Nobody has used it for 30 days.
    Unused,
    /// It ends within 14 days.
    EndsSoon,
    /// Its secret is the first one.
    NeverRotated,
}

impl Attention {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::NoAllowlist,
        Self::AllowAny,
        Self::WideAllowlist,
        Self::AllScopes,
        Self::Unused,
        Self::EndsSoon,
        Self::NeverRotated,
    ];

    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoAllowlist => "no_allowlist",
            Self::AllowAny => "allow_any",
            Self::WideAllowlist => "wide_allowlist",
            Self::AllScopes => "all_scopes",
            Self::Unused => "unused_30_days",
            Self::EndsSoon => "ends_within_14_days",
            Self::NeverRotated => "never_rotated",
        }
    }

    /// By its stable word.
    ///
    /// # Errors
    /// 422 `unknown_reason` on `reason`.
    fn of(word: &str) -> Result<Self, AppError> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word).ok_or_else(|| {
            let words = Self::ALL.map(Self::as_str).join(", ");
            AppError::field("reason", "unknown_reason", format!("there is no such reason; there are {words}"))
        })
    }

    fn fits(self, app: &App, view: &KeyView, now: DateTime<Utc>) -> bool {
        let key = &view.key;
        let wide = |cidr: &Cidr| cidr.length() < if cidr.is_ipv4() { WIDE_V4 } else { WIDE_V6 };
        match self {
            Self::NoAllowlist => key.allowlist.is_none(),
            Self::AllowAny => key.allow_any,
            Self::WideAllowlist => key.allowlist.as_ref().is_some_and(|list| list.entries().iter().any(wide)),
            Self::AllScopes => app.catalog.load().mask(key.environment).difference(key.scopes).is_empty(),
            Self::Unused => key.last_used_at.unwrap_or(key.created_at) <= now - UNUSED,
            Self::EndsSoon => view.ends_at <= now + NEAR,
            Self::NeverRotated => key.current_version == 1,
        }
    }
}

/// Which keys are to be shown, as it comes from outside; all of them when nothing is said.
#[derive(Debug, Clone, Default)]
pub struct AskInventory {
    /// Those of one reason alone, by its word.
    pub reason: Option<String>,
    /// 1 to 200 of each reason, the newest.
    pub limit: Option<i64>,
}

/// The keys of one reason.
#[derive(Debug)]
pub struct Wanting {
    /// Why they want a look.
    pub reason: Attention,
    /// How many there are.
    pub count: usize,
    /// Newest first; perhaps not all.
    pub keys: Vec<KeyView>,
}

/// The living keys that want a look, by reason; a key stands under each of its reasons. Reasons without a key stand there
/// too, so that their absence can be read.
///
/// # Errors
/// 422 `unknown_reason` or `out_of_bounds`, 503.
pub async fn inventory(app: &App, access: &Access, asked: &AskInventory) -> Result<Vec<Wanting>, AppError> {
    let reasons = match &asked.reason {
        None => Attention::ALL.to_vec(),
        Some(word) => vec![Attention::of(word)?],
    };
    if asked.limit.is_some_and(|limit| !(1..=LONGEST).contains(&limit)) {
        return Err(AppError::field("limit", "out_of_bounds", "1 to 200 keys of each reason"));
    }
    let most = asked.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let now = app.env.now();
    let mut conn = app.conn().await?;
    let mut living = living(&mut conn, access, None, now).await?;
    living.retain(|listed| !listed.key.canary);
    living.sort_by_key(|listed| Reverse((listed.key.created_at, listed.key.id.as_uuid())));
    let pairs = living.into_iter().map(|row| (row.key, row.current)).collect();
    let living = views(&mut conn, access, pairs, now).await?;
    let fitting = |reason: Attention| {
        let fitting: Vec<&KeyView> = living.iter().filter(|view| reason.fits(app, view, now)).collect();
        Wanting { reason, count: fitting.len(), keys: fitting.into_iter().take(most).cloned().collect() }
    };
    Ok(reasons.into_iter().map(fitting).collect())
}

/// The keys of an organization, or of one environment of it, that are neither revoked nor expired.
pub(super) async fn living(
    conn: &mut Conn,
    access: &Access,
    environment: Option<Environment>,
    now: DateTime<Utc>,
) -> Result<Vec<ListedKey>, AppError> {
    let mut living: Vec<ListedKey> = Vec::new();
    for status in [Status::Active, Status::Disabled] {
        let filter = KeyFilter { status: Some(status), environment, ..KeyFilter::default() };
        let (caps, mut after) = (access.organization.settings.caps, None);
        loop {
            let page = keys::list(conn, access.organization.id, &filter, &caps, now, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(Position { created_at: last.key.created_at, id: last.key.id.as_uuid() });
            living.extend(page);
        }
    }
    Ok(living)
}
