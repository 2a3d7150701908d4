//! What an instance counts, for a monitoring system. Numbers of the instance alone: no organization, key or app is named.

use actix_web::{
    HttpResponse,
    http::header::{ACCEPT, CONTENT_TYPE},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
    },
    registry::{Registry, Unit},
};
use statuspulse_app::{App, AppError, recorder::Figures};

use super::Answer;
use crate::http::Context;

/// What is answered to everybody who doesn't ask for the other one.
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What kind of row a clean-up took.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Rows {
    chore: &'static str,
}

/// Counters and gauges of this instance.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "the text form of Prometheus, or OpenMetrics where it is asked for", content(
        (String = "text/plain; version=0.0.4; charset=utf-8"),
        (String = "application/openmetrics-text; version=1.0.0; charset=utf-8")))))]
pub(crate) async fn metrics(context: Context) -> Answer {
    let mut text = String::new();
    encode(&mut text, &registry(context.app())).map_err(AppError::internal)?;
    let lines = context.request.headers().get_all(ACCEPT).filter_map(|line| line.to_str().ok());
    let (kind, text) = if wants_open_metrics(lines) { (OPEN_METRICS, text) } else { (PLAIN, plain(&text)) };
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, kind)).body(text))
}

/// Whether OpenMetrics is asked for by name, and not less than the plain text (RFC 9110 §12.5.1). A wildcard asks for nothing.
fn wants_open_metrics<'a>(accept: impl Iterator<Item = &'a str>) -> bool {
    let (mut open, mut plain) = (0.0, 0.0);
    for range in accept.flat_map(|line| line.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight: f32 = weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
        if name.eq_ignore_ascii_case("application/openmetrics-text") {
            open = weight.max(open);
        } else if name.eq_ignore_ascii_case("text/plain") {
            plain = weight.max(plain);
        }
    }
    open > 0.0 && open >= plain
}

/// OpenMetrics text in the older form: there a counter's family is named like its samples, and units and the end are unknown.
fn plain(open: &str) -> String {
    let counters: Vec<&str> =
        open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(open.len());
    for line in open.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(kind @ ("HELP" | "TYPE")), Some(name), Some(rest)) if counters.contains(&name) => {
                text.push_str(&format!("# {kind} {name}_total {rest}"));
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

fn registry(app: &App) -> Registry {
    let mut all = Registry::with_prefix("statuspulse_auth");
    let flag = |value: bool| ConstGauge::new(i64::from(value));
    let replica = &app.replica;
    all.register("keys", "Keys held in memory", ConstGauge::new(count(replica.directory.len())));
    all.register("oauth_apps", "OAuth apps held in memory", ConstGauge::new(count(replica.oauth.apps())));
    all.register("oauth_access_tokens", "Access tokens held in memory", ConstGauge::new(count(replica.oauth.tokens())));
    all.register(
        "counted_credentials",
        "Credentials whose calls of the last minutes are counted",
        ConstGauge::new(count(app.counters.len())),
    );
    all.register(
        "counters_impaired",
        "1 while the shared counters can't be reached and this instance counts alone",
        flag(app.counters.is_impaired()),
    );
    all.register("feed_applied", "Number of the last change in force here", ConstGauge::new(replica.applied()));
    all.register_with_unit(
        "feed_age",
        "Since the change feed was last read",
        Unit::Seconds,
        ConstGauge::new(replica.age(app).as_secs_f64()),
    );
    all.register("feed_cut_off", "Whether the last try to read the change feed failed", flag(replica.is_cut_off()));
    all.register("stale", "Whether calls are refused because the feed is too old", flag(replica.is_stale(app)));
    all.register_with_unit(
        "clock_skew",
        "How far this machine's clock is from the database's",
        Unit::Seconds,
        ConstGauge::new(replica.clock_skew_ms() as f64 / 1_000.0),
    );
    let queries = ConstCounter::new(replica.queries() as u64);
    all.register("credential_queries", "Queries for credentials that were not in memory", queries);
    all.register("audit_lost", "Audit events that could not be kept", ConstCounter::new(app.recorder.lost()));
    all.register("audit_behind", "Whether audit events wait for the database", flag(app.recorder.is_behind(app)));
    all.register(
        "audit_written",
        "Audit events of this process in the table",
        ConstCounter::new(app.recorder.written()),
    );
    let lag = ConstGauge::new(app.recorder.lag(app).as_secs_f64());
    all.register_with_unit("audit_lag", "How long the oldest audit event waits for the table", Unit::Seconds, lag);
    if let Some(figures) = app.recorder.figures() {
        register_spool(&mut all, &figures);
    }
    let (succeeded, failed) = app.deliveries.read();
    all.register(
        "webhooks_delivered",
        "Attempts to deliver an event that were answered by a 2xx",
        ConstCounter::new(succeeded),
    );
    all.register("webhooks_failed", "Attempts to deliver an event that failed", ConstCounter::new(failed));
    all.register(
        "alert_deliveries_failing",
        "Deliveries of alerts that fail for an hour or longer",
        ConstGauge::new(app.alert_watch.failing_deliveries()),
    );
    let cleaned = Family::<Rows, Counter>::default();
    for (chore, rows) in app.oauth_cleaned.rows() {
        cleaned.get_or_create(&Rows { chore }).inc_by(rows);
    }
    all.register("oauth_cleanup_rows", "Rows that the clean-up has taken", cleaned);
    all.register("oauth_cleanup_rounds", "Rounds of the clean-up", ConstCounter::new(app.oauth_cleaned.rounds()));
    all
}

fn register_spool(all: &mut Registry, figures: &Figures) {
    let bytes = |bytes: u64| ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
    all.register_with_unit("audit_spool", "What the audit spool takes on the disk", Unit::Bytes, bytes(figures.bytes));
    all.register_with_unit("audit_spool_limit", "What it may take", Unit::Bytes, bytes(figures.limit));
    all.register_with_unit(
        "audit_spool_pending",
        "Of it, what is not in the table yet",
        Unit::Bytes,
        bytes(figures.pending),
    );
    all.register("audit_appends", "Events appended to the spool", ConstCounter::new(figures.appended));
    all.register("audit_slow_appends", "Appends that took longer than 5 ms", ConstCounter::new(figures.slow_appends));
    all.register("audit_syncs", "Syncs of a file of the spool", ConstCounter::new(figures.syncs));
    all.register("audit_failed_syncs", "Syncs of a file that failed", ConstCounter::new(figures.failed_syncs));
    let slowest = ConstGauge::new(figures.slowest_append.as_secs_f64());
    all.register_with_unit("audit_slowest_append", "The longest that one append took", Unit::Seconds, slowest);
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let asked = [
            "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
            "",
            "*/*",
            "text/plain",
            "application/openmetrics-text;q=0",
            "text/plain, application/openmetrics-text;q=0.5",
        ];
        let wanted = asked.map(|line| wants_open_metrics([line].into_iter()));
        assert_eq!(wanted, [true, true, false, false, false, false, false]);
    }

    #[test]
    fn in_the_plain_text_a_counter_is_named_like_its_samples() {
        let open = "# HELP a_b Bs. of a\n# TYPE a_b counter\na_b_total 1\n# HELP c Cs\n# TYPE c gauge\n# UNIT c s\nc 2\n# EOF\n";
        let expected =
            "# HELP a_b_total Bs. of a\n# TYPE a_b_total counter\na_b_total 1\n# HELP c Cs\n# TYPE c gauge\nc 2\n";
        assert_eq!(plain(open), expected);
    }
}
