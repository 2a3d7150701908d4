//! The first start on an empty private database: an organization, its owner and a first live key, printed once with three
//! commands to try.

use statuspulse_app::{
    App, AppError, Caller,
    caller::{Access, Right},
    keys::{self, CreateKey},
    members::{self, NewMember},
    organizations,
};
use statuspulse_policy::Role;

const SLUG: &str = "demo";
const EMAIL: &str = "owner@demo.example";

/// What was made, as lines to print.
pub(crate) struct Seeded(String);

impl Seeded {
    /// The lines, with the secrets: for standard output, once.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// Seeds an empty database; none when there is an organization already.
pub(crate) async fn seed(app: &App, url: &str, data_dir: Option<&str>) -> Result<Option<Seeded>, AppError> {
    if !organizations::list(app).await?.is_empty() {
        return Ok(None);
    }
    let caller = Caller::system(app);
    let organization = organizations::create(app, &caller, SLUG, "Demo").await?;
    let access = Access { organization, right: Right::Operator };
    let owner = NewMember { email: EMAIL.into(), name: None, role: Role::Owner.to_string(), password: None };
    let owner = members::add(app, &caller, &access, owner).await?;
    let wanted = CreateKey {
        name: "first key".into(),
        environment: "production".into(),
        preset: Some("read-only".into()),
        ..CreateKey::default()
    };
    let issued = keys::create(app, &caller, &access, wanted, None).await?;
    let (token, password) = (issued.token.expose(), owner.password.as_ref().map_or("", |password| password.expose()));
    let folder = data_dir.map(|folder| format!("STATUSPULSE_DATA_DIR={} ", quoted(folder))).unwrap_or_default();
    Ok(Some(Seeded(format!(
        "\n  organization   {SLUG}\n  owner          {EMAIL}\n  password       {password}\n  first key      {token}\n\
         \n  Neither the password nor the key is shown again. Try:\n\
         \n  # a call that the key's scopes cover: 200\n  \
         curl -i -H 'Authorization: Bearer {token}' {url}/v1/forward-auth/api/v1/checks\n\
         \n  # one that they don't: 403\n  \
         curl -i -X POST -H 'Authorization: Bearer {token}' {url}/v1/forward-auth/api/v1/incidents\n\
         \n  # what the operator sees\n  {folder}cargo run -q -p statuspulse-admin -- key list --org {SLUG}\n"
    ))))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
