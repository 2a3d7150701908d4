//! Organizations, people and keys that most tests need.

use statuspulse_app::{
    Caller, Principal,
    caller::{Access, Right},
    keys::{self, CreateKey, KeyView},
    members::{self, NewMember},
    organizations,
    passwords::Password,
};
use statuspulse_policy::{Role, UserId};

use crate::TestApp;

const PASSWORD: &str = "correct horse battery staple";

/// An organization with its owner.
#[derive(Debug, Clone)]
pub struct TestOrg {
    /// Name in URLs.
    pub slug: String,
    /// What an operator may do there.
    pub access: Access,
    /// Its owner.
    pub owner: Person,
}

/// Somebody with a role.
#[derive(Debug, Clone)]
pub struct Person {
    /// Who.
    pub id: UserId,
    /// Address.
    pub email: String,
    /// Password.
    pub password: String,
    /// Role in the organization for which it was made.
    pub role: Role,
}

impl Person {
    /// This person as a caller.
    #[must_use]
    pub fn caller(&self, app: &TestApp) -> Caller {
        let principal = Principal::User { id: self.id, email: self.email.clone() };
        let operator = app.operator();
        Caller::new(principal, operator.origin, operator.arrived_at)
    }
}

impl TestOrg {
    /// What somebody with a role may do there.
    #[must_use]
    pub fn access_as(&self, role: Role) -> Access {
        Access { right: Right::Role(role), ..self.access.clone() }
    }
}

/// A new key with these scopes, and everything else as it is when nobody says.
#[must_use]
pub fn key_of(environment: &str, scopes: &[&str]) -> CreateKey {
    CreateKey {
        name: format!("{environment} key"),
        environment: environment.to_owned(),
        scopes: Some(scopes.iter().map(ToString::to_string).collect()),
        ..CreateKey::default()
    }
}

impl TestApp {
    /// An operator as a caller, arriving now.
    #[must_use]
    pub fn operator(&self) -> Caller {
        Caller::operator(self, "test-operator")
    }

    /// Makes an organization with an owner, `owner@{slug}.test`.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn organization(&self, slug: &str) -> TestOrg {
        let created = organizations::create(self, &self.operator(), slug, &format!("The {slug} company")).await;
        let access = Access { organization: created.expect("an organization"), right: Right::Operator };
        let owner = self.person_at(&access, &format!("owner@{slug}.test"), Role::Owner).await;
        TestOrg { slug: slug.to_owned(), access, owner }
    }

    /// Makes somebody with a role, `{name}@{slug}.test`.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn person(&self, org: &TestOrg, name: &str, role: Role) -> Person {
        let email = format!("{name}@{}.test", org.slug);
        self.person_at(&org.access, &email, role).await
    }

    async fn person_at(&self, access: &Access, email: &str, role: Role) -> Person {
        let new = NewMember {
            email: email.to_owned(),
            name: None,
            role: role.to_string(),
            password: Some(Password::new(PASSWORD.to_owned())),
        };
        let added = members::add(self, &self.operator(), access, new).await.expect("a person");
        Person { id: added.member.user.id, email: added.member.user.email, password: PASSWORD.to_owned(), role }
    }

    /// Makes a key as an operator; answers it with its token.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn key(&self, org: &TestOrg, wanted: CreateKey) -> (KeyView, String) {
        let issued = keys::create(self, &self.operator(), &org.access, wanted, None).await;
        let issued = issued.expect("a key");
        (issued.view, issued.token.expose().to_owned())
    }
}
