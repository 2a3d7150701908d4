//! The schema's steps and the daily partitions of the audit trail.

use chrono::{DateTime, Days, NaiveDate, Utc};
use diesel::{QueryableByName, migration::MigrationSource, sql_query, sql_types::Bool};
use diesel_async::{AsyncConnection as _, AsyncMigrationHarness, RunQueryDsl as _, SimpleAsyncConnection as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
use tokio_postgres::Config;

use crate::{Conn, error::StoreError, pool};

const STEPS: EmbeddedMigrations = embed_migrations!("../../migrations");
/// Key of the advisory lock that lets one of several starting instances migrate. An arbitrary constant.
const LOCK: i64 = 0x5350_4155_5448;
const DAYS_AHEAD: u64 = 7;

/// Applies the steps that are missing and makes the partitions of the coming days. Safe with several instances starting
/// at once: the others wait and then find nothing to do. Answers the names of the steps that it applied.
///
/// # Errors
/// When the database can't be reached or refuses a step; a step is applied whole or not at all.
pub async fn migrate(database: &Config, now: DateTime<Utc>) -> Result<Vec<String>, StoreError> {
    // A connection of its own, without the pool's statement timeout: a step may take long, and so may the wait.
    let mut conn = pool::unbounded(database).await?;
    // The lock is the session's: it goes with the connection, also when this process is killed half-way.
    sql_query(format!("SELECT pg_advisory_lock({LOCK})")).execute(&mut conn).await?;
    let mut harness = AsyncMigrationHarness::new(conn);
    let applied = harness
        .run_pending_migrations(STEPS)
        .map(|versions| versions.iter().map(ToString::to_string).collect())
        .map_err(|error| StoreError::Migration(error.to_string()))?;
    let mut conn = harness.into_inner();
    make_partitions(&mut conn, now).await?;
    if !make_role(&mut conn).await? {
        tracing::warn!(
            "the database's user may not create the role `statuspulse_app`: the service keeps the right to change the \
             audit trail; create the role and grant it to this user, then run `migrate` again"
        );
    }
    sql_query(format!("SELECT pg_advisory_unlock({LOCK})")).execute(&mut conn).await?;
    Ok(applied)
}

/// Makes the role that the service takes on, and gives it its rights: all on the service's tables, but of the audit trail only
/// to add and to read. Answers whether the role is there and can be taken on.
///
/// # Errors
/// When the database can't be reached.
pub async fn make_role(conn: &mut Conn) -> Result<bool, StoreError> {
    // A role belongs to all databases of a cluster: another one's migration may make it at the same moment.
    conn.batch_execute(
        "DO $$ BEGIN
             IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'statuspulse_app') THEN
                 CREATE ROLE statuspulse_app NOLOGIN;
             END IF;
         EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL;
         END $$;
         DO $$ BEGIN
             IF current_setting('server_version_num')::int >= 160000 THEN
                 IF NOT pg_has_role('statuspulse_app', 'SET') THEN
                     EXECUTE format('GRANT statuspulse_app TO %I WITH SET TRUE', current_user);
                 END IF;
             ELSIF NOT pg_has_role('statuspulse_app', 'MEMBER') THEN
                 EXECUTE format('GRANT statuspulse_app TO %I', current_user);
             END IF;
         EXCEPTION WHEN insufficient_privilege OR undefined_object OR unique_violation OR internal_error THEN NULL;
         END $$;",
    )
    .await?;
    let present: Exists = sql_query(
        "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'statuspulse_app' AND pg_has_role(oid,
             CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)) AS present",
    )
    .get_result(conn)
    .await?;
    if present.present {
        conn.batch_execute(
            "DO $$ DECLARE day regclass; BEGIN
                 EXECUTE format('GRANT USAGE ON SCHEMA %1$I TO statuspulse_app;
                     GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %1$I TO statuspulse_app;
                     GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %1$I TO statuspulse_app', current_schema());
                 REVOKE ALL ON audit_events, audit_checkpoints, audit_quarantine, audit_partitions FROM statuspulse_app;
                 GRANT SELECT, INSERT ON audit_events, audit_checkpoints, audit_quarantine TO statuspulse_app;
                 GRANT SELECT ON audit_partitions TO statuspulse_app;
                 FOR day IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'audit_events'::regclass LOOP
                     EXECUTE format('REVOKE ALL ON %s FROM statuspulse_app', day);
                 END LOOP;
             END $$;",
        )
        .await?;
    }
    Ok(present.present)
}

/// The steps that this release knows, oldest first, under the names that the database keeps.
///
/// # Errors
/// When they can't be read, which a build has seen.
pub fn steps() -> Result<Vec<String>, StoreError> {
    let steps = MigrationSource::<diesel::pg::Pg>::migrations(&STEPS);
    let steps = steps.map_err(|error| StoreError::Migration(error.to_string()))?;
    let mut names: Vec<String> = steps.iter().map(|step| step.name().version().to_string()).collect();
    names.sort();
    Ok(names)
}

/// Undoes every step. For the test that proves that each `down.sql` fits its `up.sql`.
///
/// # Errors
/// When the database can't be reached or refuses a step.
pub async fn revert_all(database: &Config) -> Result<(), StoreError> {
    let conn = pool::unbounded(database).await?;
    AsyncMigrationHarness::new(conn)
        .revert_all_migrations(STEPS)
        .map(|_| ())
        .map_err(|error| StoreError::Migration(error.to_string()))
}

#[derive(QueryableByName)]
struct Exists {
    #[diesel(sql_type = Bool)]
    present: bool,
}

/// Makes the audit partitions from yesterday to seven days ahead, where they are missing. There is no default partition:
/// with one, old days could not be detached concurrently.
///
/// # Errors
/// When the database can't be reached or refuses.
pub async fn make_partitions(conn: &mut Conn, now: DateTime<Utc>) -> Result<(), StoreError> {
    let today = now.date_naive();
    let first = today.pred_opt().unwrap_or(today);
    for day in first.iter_days().take(DAYS_AHEAD as usize + 2) {
        make_partition(conn, day).await?;
    }
    Ok(())
}

/// Makes the partition of one day, where it is missing.
///
/// # Errors
/// When the database can't be reached or refuses.
pub async fn make_partition(conn: &mut Conn, day: NaiveDate) -> Result<(), StoreError> {
    let name = partition_name(day);
    let present =
        format!("SELECT to_regclass('{name}') IS NOT NULL OR to_regclass('{name}_kept') IS NOT NULL AS present");
    let present: Exists = sql_query(present).get_result(conn).await?;
    let Some(next) = day.checked_add_days(Days::new(1)).filter(|_| !present.present) else { return Ok(()) };
    conn.transaction(async |conn| {
        // Two instances may get here at once: the second one finds the table.
        sql_query(format!("SELECT pg_advisory_xact_lock({LOCK} + 1)")).execute(conn).await?;
        // Not by `to_regclass`: inside a transaction it may repeat from its cache that the table isn't there.
        let present: Exists = sql_query(format!(
            "SELECT EXISTS (SELECT FROM pg_class WHERE relname = '{name}' AND relnamespace =
                     (SELECT relnamespace FROM pg_class WHERE oid = 'audit_events'::regclass)) AS present"
        ))
        .get_result(conn)
        .await?;
        if present.present {
            return Ok(());
        }
        // Made apart and then attached: that stops neither readers nor writers of the other days.
        conn.batch_execute(&format!(
            "CREATE TABLE {name} (LIKE audit_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
                 COMMENT ON TABLE {name} IS 'Audit events of {day} (UTC)';
                 ALTER TABLE audit_events ATTACH PARTITION {name}
                     FOR VALUES FROM ('{day} 00:00:00+00') TO ('{next} 00:00:00+00');
                 INSERT INTO audit_partitions (day, state) VALUES ('{day}', 'open') ON CONFLICT DO NOTHING"
        ))
        .await?;
        Ok::<_, StoreError>(())
    })
    .await
}

pub(crate) fn partition_name(day: NaiveDate) -> String {
    format!("audit_events_{}", day.format("%Y%m%d"))
}
