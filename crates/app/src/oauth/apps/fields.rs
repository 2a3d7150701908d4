//! The fields of an app, judged one by one and then together.

use statuspulse_oauth::{
    App as OauthApp, AppKind, RedirectUri, TokenFormat,
    app::{LONGEST_NAME, LONGEST_RETRY, is_displayable},
    redirect_uri,
};
use statuspulse_policy::{AllowAny, Allowlist, Catalog, ScopeSet};

use crate::{
    error::{AppError, FieldError, allowlist_errors, scope_errors},
    keys::refuse_secret,
    oauth::known,
};

/// Audiences of a resource server, at most.
const MOST_AUDIENCES: usize = 10;

/// Collects what is wrong, so that all of it is told at once.
#[derive(Default)]
pub(super) struct Errors(pub(super) Vec<FieldError>);

impl Errors {
    pub(super) fn keep<T>(&mut self, judged: Result<T, AppError>) -> Result<Option<T>, AppError> {
        match judged {
            Ok(value) => Ok(Some(value)),
            Err(AppError::Invalid(fields)) => {
                self.0.extend(fields);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    pub(super) fn done(self) -> Result<(), AppError> {
        if self.0.is_empty() { Ok(()) } else { Err(AppError::Invalid(self.0)) }
    }
}

pub(super) fn check_name(name: &str) -> Result<(), AppError> {
    let length = name.chars().count();
    if !(1..=LONGEST_NAME).contains(&length) || name.trim().is_empty() || !is_displayable(name) {
        let detail = "a name has 1 to 100 characters, none of which is a control, a line break or turns the direction";
        return Err(AppError::field("name", "invalid_name", detail));
    }
    refuse_secret("name", name)
}

pub(super) fn kind_of(word: &str) -> Result<AppKind, AppError> {
    AppKind::from_word(word)
        .ok_or_else(|| AppError::field("kind", "unknown_kind", "a kind is `confidential` or `public`"))
}

pub(super) fn format_of(word: &str) -> Result<TokenFormat, AppError> {
    TokenFormat::from_word(word)
        .ok_or_else(|| AppError::field("access_token_format", "unknown_format", "a format is `opaque` or `jwt`"))
}

pub(super) fn retry_of(seconds: i64) -> Result<u32, AppError> {
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds <= LONGEST_RETRY)
        .ok_or_else(|| AppError::field("refresh_retry_seconds", "out_of_bounds", "a retry window is 0 to 60 seconds"))
}

pub(super) fn redirect_uris_of(texts: &[String], kind: AppKind) -> Result<Vec<RedirectUri>, AppError> {
    if !(1..=redirect_uri::MOST).contains(&texts.len()) {
        return Err(AppError::field("redirect_uris", "out_of_bounds", "an app has 1 to 20 redirect uris"));
    }
    let (mut uris, mut errors) = (Vec::<RedirectUri>::new(), Vec::new());
    for (index, text) in texts.iter().enumerate() {
        let field = format!("redirect_uris[{index}]");
        match RedirectUri::register(text, kind) {
            Err(error) => errors.push(FieldError::new(field, error.code(), error.to_string())),
            Ok(uri) if uris.contains(&uri) => {
                errors.push(FieldError::new(field, "repeated", "this redirect uri is given twice"));
            }
            Ok(uri) => uris.push(uri),
        }
    }
    if errors.is_empty() { Ok(uris) } else { Err(AppError::Invalid(errors)) }
}

pub(super) fn scopes_of(field: &str, names: &[String], catalog: &Catalog) -> Result<ScopeSet, AppError> {
    catalog.parse_scopes(names.iter().map(String::as_str)).map_err(|error| scope_errors(field, &error))
}

pub(super) fn allowlist_of(entries: Option<&[String]>) -> Result<Option<Allowlist>, AppError> {
    let parsed = entries.map(|entries| Allowlist::parse(entries, AllowAny::No)).transpose();
    parsed.map_err(|error| allowlist_errors("allowed_cidrs", &error))
}

/// Audiences are resources that this service issues tokens for.
pub(super) fn audiences_of(
    list: Option<&[String]>,
    catalog: &Catalog,
    public_url: &str,
) -> Result<Vec<String>, AppError> {
    let Some(list) = list else { return Ok(Vec::new()) };
    if !(1..=MOST_AUDIENCES).contains(&list.len()) {
        return Err(AppError::field("audiences", "out_of_bounds", "a resource server has 1 to 10 audiences"));
    }
    let known = known(catalog, public_url);
    let (mut audiences, mut errors) = (Vec::new(), Vec::new());
    for (index, text) in list.iter().enumerate() {
        let field = format!("audiences[{index}]");
        match known.find(text) {
            None => {
                let detail = "an audience is the public url or one of the catalog's";
                errors.push(FieldError::new(field, "unknown_audience", detail));
            }
            // The public URL has two spellings.
            Some(audience) if audiences.contains(&audience) => {
                errors.push(FieldError::new(field, "repeated", "this audience is given twice"));
            }
            Some(audience) => audiences.push(audience),
        }
    }
    if errors.is_empty() { Ok(list.to_vec()) } else { Err(AppError::Invalid(errors)) }
}

/// The rules that tie fields together.
pub(super) fn check_whole(app: &OauthApp, catalog: &Catalog) -> Result<(), AppError> {
    let mut errors = Vec::new();
    if app.kind == AppKind::Public && !app.require_pkce {
        let detail = "a public app can't switch PKCE off: nothing else proves that it is the one that asked";
        errors.push(FieldError::new("require_pkce", "required_for_public", detail));
    }
    let outside = app.default_scopes.difference(app.scopes);
    if !outside.is_empty() {
        let names = catalog.names(outside).join("`, `");
        let detail = format!("default scopes are among the app's scopes; `{names}` is not");
        errors.push(FieldError::new("default_scopes", "not_among_scopes", detail));
    }
    if errors.is_empty() { Ok(()) } else { Err(AppError::Invalid(errors)) }
}
