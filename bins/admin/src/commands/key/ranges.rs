use clap::Args;
use serde_json::Value;
use statuspulse_app::{
    caller::Access,
    keys::{self, AddRanges, Choice, PreviewedKey},
    views::{AddedRangesJson, RangesPreviewJson},
};
use statuspulse_policy::KeyId;

use super::{parse_id, warn};
use crate::{
    commands::{Context, environments},
    error::CliError,
    output::{table, tell},
    prompt,
};

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("choice").required(true))]
pub(crate) struct AddArgs {
    /// Slug of the organization.
    #[arg(long)]
    org: String,
    /// All living keys of this environment.
    #[arg(long, value_parser = environments(), group = "choice")]
    environment: Option<String>,
    /// Living keys by their ids, at most 200; repeat it or separate ids by commas.
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',', value_parser = parse_id, group = "choice")]
    key: Option<Vec<KeyId>>,
    /// Networks or addresses to add to each list, at most 50; a list holds 50 in all.
    #[arg(long, value_name = "CIDR", num_args = 1.., value_delimiter = ',', required = true)]
    allow_cidr: Vec<String>,
    /// Give a list to keys that have none, too: they may be used from these networks only from then on.
    #[arg(long)]
    create_lists: bool,
    /// Only say what the lists would be and which calls of the last 7 days they would refuse, as if lists were created.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Don't ask.
    #[arg(long)]
    yes: bool,
}

impl AddArgs {
    pub(super) fn check(&self) -> Result<(), CliError> {
        if self.dry_run || self.yes || prompt::is_possible() {
            return Ok(());
        }
        let text = "nobody can be asked here: give --dry-run to see what the lists would be, or --yes to change them";
        Err(CliError::Usage(text.to_owned()))
    }

    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let access = context.access(&self.org).await?;
        if self.dry_run {
            let answer = RangesPreviewJson::from(self.preview(context, &access).await?);
            return context.output.answer(&answer, preview_for_people);
        }
        if !self.yes && !self.is_wanted(context, &access).await? {
            return Err(CliError::Declined);
        }
        let wanted = AddRanges {
            choice: self.choice(),
            create_lists: self.create_lists,
            add: self.allow_cidr,
            ..AddRanges::default()
        };
        let added = keys::add_ranges(&context.app, &context.caller, &access, wanted).await?;
        let (changed, unchanged) = (added.changed.len(), added.unchanged.len());
        context.output.answer(&AddedRangesJson::new(&context.app, added), added_for_people)?;
        context.output.note(&format!("changed: {changed}, left as they are: {unchanged}"));
        Ok(())
    }

    fn choice(&self) -> Choice {
        let keys = self.key.as_ref().map(|ids| ids.iter().map(KeyId::to_string).collect());
        Choice { keys, environment: self.environment.clone() }
    }

    async fn preview(&self, context: &Context, access: &Access) -> Result<Vec<PreviewedKey>, CliError> {
        let (app, caller, choice) = (&context.app, &context.caller, self.choice());
        Ok(keys::preview_ranges(app, caller, access, &choice, &self.allow_cidr, None).await?)
    }

    /// Shows what the lists would be and asks. Where there are no keys, there is nothing to ask.
    async fn is_wanted(&self, context: &Context, access: &Access) -> Result<bool, CliError> {
        let preview = self.preview(context, access).await?;
        if preview.is_empty() {
            return Ok(true);
        }
        let question = format!("Add {} to the lists of these {} keys?", self.allow_cidr.join(", "), preview.len());
        let shown = serde_json::to_value(RangesPreviewJson::from(preview)).unwrap_or_default();
        tell(&preview_for_people(&shown));
        if !self.create_lists {
            tell("Keys without a list stay as they are, since --create-lists is not given.");
        }
        prompt::confirm(&question).await
    }
}

fn preview_for_people(answer: &Value) -> String {
    if is_empty(&answer["keys"]) {
        return "no key fits; nothing would be changed".to_owned();
    }
    let told = format!("{} of {} calls would have been refused", answer["would_be_blocked"], answer["calls"]);
    let columns = ["id", "name", "environment", "had_list", "allowed_cidrs", "calls", "would_be_blocked"];
    format!("{}\n\n{told}", table(&answer["keys"], &columns))
}

fn added_for_people(answer: &Value) -> String {
    for key in answer["changed"].as_array().into_iter().flatten() {
        warn(&key["warnings"], key["name"].as_str());
    }
    let parts = [
        ("Changed", "changed", ["id", "name", "allowed_cidrs"].as_slice()),
        ("Left as they are", "unchanged", ["id", "reason"].as_slice()),
    ];
    let shown = parts.into_iter().filter(|(_, field, _)| !is_empty(&answer[*field]));
    let shown: Vec<String> =
        shown.map(|(title, field, columns)| format!("{title}:\n{}", table(&answer[field], columns))).collect();
    if shown.is_empty() { "no key fits; nothing was changed".to_owned() } else { shown.join("\n\n") }
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}
