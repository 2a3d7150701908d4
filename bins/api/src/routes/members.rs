//! Who belongs to an organization.

use actix_web::HttpResponse;
use serde::Deserialize;
use statuspulse_app::{
    members::{self, NewMember},
    views::{AddedMemberJson, MemberJson, MemberPageJson},
};
use utoipa::ToSchema;

use super::Answer;
use crate::http::{Context, error::Problem, query};

/// A new member.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberToAdd {
    /// The name for signing in.
    email: String,
    /// 1 to 100 characters; the first part of the address when left out. Somebody who has an account keeps the own name.
    name: Option<String>,
    /// `owner`, `admin`, `developer` or `auditor`.
    role: String,
}

impl From<MemberToAdd> for NewMember {
    fn from(body: MemberToAdd) -> Self {
        Self { email: body.email, name: body.name, role: body.role, password: None }
    }
}

/// Another role.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedMember {
    /// `owner`, `admin`, `developer` or `auditor`.
    role: String,
}

/// List the members, newest first.
#[utoipa::path(get, path = "/v1/orgs/{org}/members", tag = "members", security(("session" = [])),
    params(("org" = String, Path), ("limit" = Option<i64>, Query, minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query)), responses(
    (status = 200, description = "a page", body = MemberPageJson), (status = 404, body = Problem),
    (status = 400, description = "a cursor of another list", body = Problem)))]
pub(crate) async fn list(context: Context) -> Answer {
    let parameters = query::list_parameters(&context.request, &["limit", "cursor"])?;
    let (limit, cursor) = (query::limit(&parameters)?, query::value(&parameters, "cursor"));
    let page = members::list(context.app(), context.access()?, limit, cursor).await?;
    Ok(HttpResponse::Ok().json(MemberPageJson::from(page)))
}

/// Add a member; who is new gets an account with a generated password.
#[utoipa::path(post, path = "/v1/orgs/{org}/members", tag = "members", security(("session" = [])),
    params(("org" = String, Path)), request_body = MemberToAdd, responses(
    (status = 201, description = "the member; the password of a new account is in this answer and nowhere else", body = AddedMemberJson),
    (status = 403, description = "only an owner may", body = Problem),
    (status = 409, description = "`already_member`, or `user_exists`: who has an account is added by an operator", body = Problem),
    (status = 422, description = "`invalid_email`, `invalid_name`, `unknown_role`, `member_limit_reached`, …", body = Problem)))]
pub(crate) async fn add(context: Context) -> Answer {
    let body: MemberToAdd = context.json().await?;
    let added = members::add(context.app(), &context.caller, context.access()?, body.into()).await?;
    Ok(HttpResponse::Created().json(AddedMemberJson::from(added)))
}

/// Give a member another role; what the member has authorized beyond it ends.
#[utoipa::path(patch, path = "/v1/orgs/{org}/members/{id}", tag = "members", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), request_body = ChangedMember, responses(
    (status = 200, description = "the member", body = MemberJson),
    (status = 403, description = "only an owner may", body = Problem), (status = 404, body = Problem),
    (status = 409, description = "`last_owner`: the organization keeps an owner", body = Problem),
    (status = 422, description = "`unknown_role`", body = Problem)))]
pub(crate) async fn change(context: Context) -> Answer {
    let body: ChangedMember = context.json().await?;
    let (access, id) = (context.access()?, context.id("member")?);
    let member = members::change(context.app(), &context.caller, access, id, &body.role).await?;
    Ok(HttpResponse::Ok().json(MemberJson::from(&member)))
}

/// Take a member out of the organization; what the member has authorized for it ends.
#[utoipa::path(delete, path = "/v1/orgs/{org}/members/{id}", tag = "members", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), responses(
    (status = 204, description = "the person is no member any more"),
    (status = 403, description = "only an owner may", body = Problem), (status = 404, body = Problem),
    (status = 409, description = "`last_owner`: the organization keeps an owner", body = Problem)))]
pub(crate) async fn remove(context: Context) -> Answer {
    let (access, id) = (context.access()?, context.id("member")?);
    members::remove(context.app(), &context.caller, access, id).await?;
    Ok(HttpResponse::NoContent().finish())
}
