//! The frame of the dashboard's pages: header, menu and navigation. What is in them, scripts ask the API for.

use askama::{Error, Template};
use uuid::Uuid;

/// A page of the dashboard.
#[derive(Template)]
#[template(path = "dashboard.html")]
pub(crate) struct DashboardPage<'a> {
    /// Path of the public URL, before every address of ours.
    pub(crate) base: &'a str,
    /// Where scripts and style sheets are.
    pub(crate) files: &'a str,
    /// The module that fills it, below `pages/`.
    pub(crate) page: &'static str,
    /// Its own style sheets, below `pages/`.
    pub(crate) styles: &'static [&'static str],
    pub(crate) title: &'static str,
    /// Its own path, for the change to another organization.
    pub(crate) path: &'static str,
    pub(crate) user_id: Uuid,
    pub(crate) email: &'a str,
    pub(crate) organization: Organization<'a>,
    /// The person's others.
    pub(crate) others: &'a [Organization<'a>],
    /// Whether addresses have to name the organization.
    pub(crate) is_named: bool,
    pub(crate) csrf: &'a str,
}

/// An organization, and what the person is in it.
pub(crate) struct Organization<'a> {
    pub(crate) slug: &'a str,
    pub(crate) name: &'a str,
    pub(crate) role: &'static str,
}

impl Organization<'_> {
    /// The letter of its avatar.
    fn initial(&self) -> String {
        self.name
            .chars()
            .find(|letter| letter.is_alphanumeric())
            .map_or_else(|| "?".to_owned(), |letter| letter.to_uppercase().collect())
    }
}

impl DashboardPage<'_> {
    /// The modules of every page: asked for at once, and not only when the one before has named them.
    const PRELOADED: [&'static str; 4] = ["api", "dom", "format", "parts"];
    /// The navigation.
    const SECTIONS: [(&'static str, &'static str); 6] = [
        ("Overview", "/"),
        ("API Credentials", "/keys"),
        ("Security Controls", "/security"),
        ("Developer Portal", "/apps"),
        ("Audit", "/audit"),
        ("Alerts", "/alerts"),
    ];

    /// The address of a page of ours, for the same organization.
    fn address(&self, path: &str) -> String {
        let slug = self.organization.slug;
        if self.is_named { format!("{}{path}?org={slug}", self.base) } else { format!("{}{path}", self.base) }
    }

    fn is_within(&self, section: &str) -> bool {
        self.path == section
    }

    /// The page as HTML.
    pub(crate) fn render(&self) -> Result<String, Error> {
        Template::render(self)
    }
}
