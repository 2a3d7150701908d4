//! The pages that people see: sign-in, consent, what they have authorized, and what is told to those who can't be sent on.
//!
//! Plain HTML that the server fills in, without scripts (`oauth.md`, §3, 12 to 15), but for the dashboard, whose pages are a
//! frame that scripts fill through the API. Every value goes through the
//! escaping of the templates in `templates/`, whose names end in `.html` for that reason; none is marked as safe.

use askama::{Error, Template};

mod dashboard;

pub(crate) use dashboard::{DashboardPage, Organization};

/// The form of sign-in.
#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct LoginPage<'a> {
    /// Path of the public URL, before every address of ours.
    pub(crate) base: &'a str,
    /// Why one signs in, when an app sent the person here.
    pub(crate) app: Option<AppLine<'a>>,
    /// Of the request that goes on after sign-in.
    pub(crate) handle: Option<&'a str>,
    /// The page of ours that goes on after sign-in, when one sent the person here.
    pub(crate) page: Option<&'a str>,
    pub(crate) csrf: &'a str,
    /// What was typed before, or nothing.
    pub(crate) email: &'a str,
    /// Why the last attempt failed, in a sentence.
    pub(crate) problem: Option<&'a str>,
}

/// An app and who publishes it.
pub(crate) struct AppLine<'a> {
    pub(crate) name: &'a str,
    pub(crate) publisher: &'a str,
}

/// The question whether an app may act for an organization.
#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct ConsentPage<'a> {
    /// Path of the public URL, before every address of ours.
    pub(crate) base: &'a str,
    pub(crate) app_name: &'a str,
    pub(crate) publisher: &'a str,
    pub(crate) user_email: &'a str,
    /// Those the person may choose from, the one to begin with first.
    pub(crate) organizations: &'a [OrganizationChoice<'a>],
    /// What the app asks for, in the order of the catalog.
    pub(crate) scopes: &'a [ScopeLine<'a>],
    /// Where the answer goes: the host of the redirect URI, or the scheme of a private one.
    pub(crate) redirect_host: &'a str,
    pub(crate) handle: &'a str,
    pub(crate) csrf: &'a str,
}

/// An organization that the app could act for.
pub(crate) struct OrganizationChoice<'a> {
    pub(crate) slug: &'a str,
    pub(crate) name: &'a str,
}

/// A scope that the app asks for.
pub(crate) struct ScopeLine<'a> {
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    /// Whether the person's role may give it (of several organizations: in at least one).
    pub(crate) grantable: bool,
}

/// What is shown instead of a redirect that can't be trusted.
#[derive(Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage<'a> {
    /// Path of the public URL, before every address of ours.
    pub(crate) base: &'a str,
    pub(crate) title: &'a str,
    pub(crate) detail: &'a str,
    /// Shown, so that the person can name it to whoever looks into it.
    pub(crate) request_id: &'a str,
}

/// What the form of sign-in is for somebody who is signed in already.
#[derive(Template)]
#[template(path = "signed_in.html")]
pub(crate) struct SignedInPage<'a> {
    /// Path of the public URL, before every address of ours.
    pub(crate) base: &'a str,
    pub(crate) email: &'a str,
    pub(crate) csrf: &'a str,
}

/// What somebody has authorized, and how it ends.
#[derive(Template)]
#[template(path = "authorized_apps.html")]
pub(crate) struct AuthorizedAppsPage<'a> {
    /// Path of the public URL, before every address of ours.
    pub(crate) base: &'a str,
    pub(crate) email: &'a str,
    /// Newest first.
    pub(crate) grants: &'a [GrantEntry<'a>],
    /// Where the list goes on, encoded.
    pub(crate) next_query: Option<&'a str>,
    pub(crate) csrf: &'a str,
}

/// An access that an app has.
pub(crate) struct GrantEntry<'a> {
    pub(crate) id: String,
    pub(crate) app_name: &'a str,
    pub(crate) publisher: &'a str,
    /// Slug of the organization that it acts for.
    pub(crate) organization: &'a str,
    /// In the order of the catalog.
    pub(crate) scopes: Vec<GrantedScope<'a>>,
    /// A moment for people.
    pub(crate) since: String,
    /// The same.
    pub(crate) last_use: Option<String>,
}

/// A scope that an app has.
pub(crate) struct GrantedScope<'a> {
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
}

impl AuthorizedAppsPage<'_> {
    /// The page as HTML.
    pub(crate) fn render(&self) -> Result<String, Error> {
        Template::render(self)
    }
}

/// The description of the API for people.
#[derive(Template)]
#[template(path = "docs.html")]
pub(crate) struct DocsPage<'a> {
    /// Path of the public URL, before every address of ours.
    pub(crate) base: &'a str,
    pub(crate) version: &'a str,
    pub(crate) groups: &'a [EndpointGroup],
}

/// The endpoints of one subject.
pub(crate) struct EndpointGroup {
    pub(crate) name: String,
    pub(crate) endpoints: Vec<EndpointBlock>,
}

/// An endpoint and all that is said of it.
pub(crate) struct EndpointBlock {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) summary: String,
    pub(crate) who: String,
    pub(crate) parameters: Vec<FieldLine>,
    /// Those of the body.
    pub(crate) fields: Vec<FieldLine>,
    pub(crate) answers: Vec<AnswerLine>,
}

/// A parameter, or a field of a body.
pub(crate) struct FieldLine {
    pub(crate) name: String,
    /// Where it stands, for a parameter, and its type.
    pub(crate) kind: String,
    pub(crate) required: bool,
    pub(crate) description: String,
}

/// What may be answered.
pub(crate) struct AnswerLine {
    pub(crate) status: String,
    pub(crate) description: String,
    /// Name and media type of what the body holds.
    pub(crate) body: String,
}

impl DocsPage<'_> {
    /// The page as HTML.
    pub(crate) fn render(&self) -> Result<String, Error> {
        Template::render(self)
    }
}

impl EndpointBlock {
    /// What is sent, each list under its name.
    const fn lists(&self) -> [(&'static str, &Vec<FieldLine>); 2] {
        [("Parameters", &self.parameters), ("Request fields", &self.fields)]
    }
}

impl LoginPage<'_> {
    /// The page as HTML.
    pub(crate) fn render(&self) -> Result<String, Error> {
        Template::render(self)
    }
}

impl ConsentPage<'_> {
    /// The page as HTML.
    pub(crate) fn render(&self) -> Result<String, Error> {
        Template::render(self)
    }

    /// The organization when there is nothing to choose.
    fn only_organization(&self) -> Option<&OrganizationChoice<'_>> {
        match self.organizations {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether the person may give this scope, for an organization there is.
    fn may_give(&self, scope: &ScopeLine<'_>) -> bool {
        scope.grantable && !self.organizations.is_empty()
    }

    /// Whether Allow could give anything: with nothing ticked it would only mean Deny.
    fn can_allow(&self) -> bool {
        self.scopes.iter().any(|scope| self.may_give(scope))
    }
}

impl ErrorPage<'_> {
    /// The page as HTML.
    pub(crate) fn render(&self) -> Result<String, Error> {
        Template::render(self)
    }
}

impl SignedInPage<'_> {
    /// The page as HTML.
    pub(crate) fn render(&self) -> Result<String, Error> {
        Template::render(self)
    }
}

#[cfg(test)]
mod tests;
