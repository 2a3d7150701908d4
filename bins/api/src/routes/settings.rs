//! An organization's settings.

use actix_web::HttpResponse;
use statuspulse_app::{settings, views::SettingsJson};

use super::{Answer, dto::ChangedSettings};
use crate::http::{Context, error::Problem};

/// Show the settings.
#[utoipa::path(get, path = "/v1/orgs/{org}/settings", tag = "settings", security(("session" = [])),
    params(("org" = String, Path)),
    responses((status = 200, description = "the settings", body = SettingsJson),
        (status = 403, description = "a developer has nothing to do with them", body = Problem),
        (status = 404, body = Problem)))]
pub(crate) async fn show(context: Context) -> Answer {
    let organization = settings::show(context.access()?)?;
    Ok(HttpResponse::Ok().json(SettingsJson::new(context.app(), organization, Vec::new())))
}

/// Change the settings.
#[utoipa::path(patch, path = "/v1/orgs/{org}/settings", tag = "settings", security(("session" = [])),
    params(("org" = String, Path)), request_body = ChangedSettings, responses(
    (status = 200, description = "the settings, and the keys that ended by the change", body = SettingsJson),
    (status = 403, description = "only owner and admin may", body = Problem),
    (status = 409, description = "keys would end at once; say `confirm: true`", body = Problem),
    (status = 422, description = "a field is out of bounds", body = Problem)))]
pub(crate) async fn change(context: Context) -> Answer {
    let body: ChangedSettings = context.json().await?;
    let access = context.access()?;
    let (organization, ended) = settings::change(context.app(), &context.caller, access, &body.into()).await?;
    Ok(HttpResponse::Ok().json(SettingsJson::new(context.app(), &organization, ended)))
}
