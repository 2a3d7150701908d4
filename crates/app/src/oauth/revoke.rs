//! Revocation by the client (RFC 7009; oauth §6.4).

use std::sync::Arc;

use statuspulse_audit::Action;
use statuspulse_oauth::{
    Field, Form, Grant, OpaqueToken, TokenDigest, TokenError, TokenKind, jwt, token_request::presented_token,
};
use statuspulse_store::{
    AsyncConnection as _, Conn, feed,
    oauth::{grants, tokens},
};

use super::{
    Circumstances, Refusal,
    client::{Client, authenticate, named, refuse},
    event, note_in, refused,
    tokens::touch,
};
use crate::{app::App, error::AppError};

/// What a token that is to be ended is.
enum Presented {
    /// An access token.
    Access(Vec<TokenDigest>),
    /// A refresh token.
    Refresh(Vec<TokenDigest>),
}

/// What came of it.
enum Ended {
    /// What is or was the caller's, or is nobody's.
    Done { changed: bool },
    /// Another client's live token.
    Foreign,
}

/// Ends a token of the caller's: a refresh token with its grant, an access token alone. A token that nobody knows is no
/// error; the hint is not needed.
///
/// # Errors
/// [`Refusal`].
pub async fn revoke(
    app: &Arc<App>,
    circumstances: &Circumstances<'_>,
    authorization: &[&[u8]],
    form: &Form,
) -> Result<(), Refusal> {
    const ACTION: Action = Action::OauthRevoke;
    let field = match presented_token(form) {
        Ok(field) => field,
        Err(error) => {
            let named = named(app, authorization, form);
            return Err(refuse(app, circumstances, ACTION, named.as_deref(), error).await);
        }
    };
    let client = authenticate(app, circumstances, authorization, form, ACTION).await?;
    let presented = read(app, circumstances, field);
    let mut conn = app.conn().await?;
    let ended = conn.transaction(async |conn| end(app, circumstances, &client, conn, presented).await).await?;
    drop(conn);
    tokio::spawn(touch(Arc::clone(app), client));
    match ended {
        Ended::Foreign => Err(Refusal::Error(TokenError::request("token_foreign"))),
        Ended::Done { changed } => {
            if changed {
                app.replica.catch_up().await;
            }
            Ok(())
        }
    }
}

fn read(app: &App, circumstances: &Circumstances<'_>, field: Field<'_>) -> Option<Presented> {
    let text = field.text()?;
    if jwt::has_outline(text) {
        let claims = app.signing.read(text, circumstances.public_url, app.env.now()).ok()?;
        return Some(Presented::Access(app.secrets.jwt_digests(&claims.jti)));
    }
    let token = OpaqueToken::parse(text)?;
    let digests = app.secrets.token_digests(&token);
    match token.kind() {
        TokenKind::Access => Some(Presented::Access(digests)),
        TokenKind::Refresh => Some(Presented::Refresh(digests)),
        TokenKind::Code => None,
    }
}

async fn end(
    app: &App,
    circumstances: &Circumstances<'_>,
    client: &Client,
    conn: &mut Conn,
    presented: Option<Presented>,
) -> Result<Ended, AppError> {
    let now = app.env.now();
    let caller = circumstances.caller;
    let found = match &presented {
        None => None,
        Some(Presented::Access(digests)) => {
            let found = tokens::find_access(conn, digests).await?;
            found.map(|(digest, token, grant)| {
                let live = token.revoked_at.is_none() && now < token.expires_at && grant.revoked_at.is_none();
                (Some(digest), grant, live)
            })
        }
        Some(Presented::Refresh(digests)) => match tokens::find_refresh(conn, digests).await? {
            None => None,
            Some((_, token)) => {
                let grant = grants::lock(conn, token.grant_id).await?.map(|standing| standing.grant);
                grant.map(|grant| {
                    let live =
                        grant.is_live(now) && token.generation == grant.generation && now < token.idle_expires_at;
                    (None, grant, live)
                })
            }
        },
    };
    let Some((digest, grant, live)) = found else {
        let mut event = client.sign(event(app, caller, Action::OauthRevoke, Some(&client.app), None)?);
        event.reason = Some("token_unknown");
        note_in(app, caller, conn, event).await?;
        return Ok(Ended::Done { changed: false });
    };
    if grant.app_id != client.app.id {
        return foreign(app, circumstances, client, conn, live).await;
    }
    let event = client.sign(event(app, caller, Action::OauthRevoke, Some(&client.app), Some(&grant))?);
    let event = event.with("token", if digest.is_some() { "access" } else { "refresh" });
    note_in(app, caller, conn, event).await?;
    // A used refresh token is dead by itself, but its chain isn't. What has ended already takes no number of the feed.
    let ends = if digest.is_some() { live } else { grant.is_live(now) };
    let changed = ends && change(conn, &grant, digest, now).await?;
    Ok(Ended::Done { changed })
}

/// Another client learns nothing about a token but that it isn't his to end.
async fn foreign(
    app: &App,
    circumstances: &Circumstances<'_>,
    client: &Client,
    conn: &mut Conn,
    live: bool,
) -> Result<Ended, AppError> {
    let mut event = client.sign(event(app, circumstances.caller, Action::OauthRevoke, Some(&client.app), None)?);
    if live {
        event = refused(event, "token_foreign", 400);
    } else {
        event.reason = Some("token_unknown");
    }
    note_in(app, circumstances.caller, conn, event).await?;
    Ok(if live { Ended::Foreign } else { Ended::Done { changed: false } })
}

async fn change(
    conn: &mut Conn,
    grant: &Grant,
    digest: Option<TokenDigest>,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<bool, AppError> {
    let sequence = feed::next(conn).await?;
    Ok(match digest {
        Some(digest) => tokens::revoke_access(conn, &digest, now, sequence).await?,
        None => grants::revoke(conn, &[grant.id], "revoked_by_client", now, sequence).await? > 0,
    })
}
