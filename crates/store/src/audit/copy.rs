//! Records as rows of `audit_events`: written by binary `COPY`.

use std::net::IpAddr;

use futures_util::pin_mut;
use serde_json::Value;
use statuspulse_audit::Record;
use tokio_postgres::{
    Transaction,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

const COLUMNS: &str = "id, stream, sequence, occurred_at, recorded_at, class, action, outcome, reason, organization_id,
    actor_kind, actor_id, actor_version, method, route, status, ip, ip_commit, salt, country, user_agent,
    user_agent_commit, fingerprint, request_id, detail, leaf, prev, hash";

const TYPES: [Type; 28] = [
    Type::UUID,
    Type::UUID,
    Type::INT8,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::INT2,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::UUID,
    Type::TEXT,
    Type::TEXT,
    Type::INT4,
    Type::TEXT,
    Type::TEXT,
    Type::INT2,
    Type::INET,
    Type::BYTEA,
    Type::BYTEA,
    Type::TEXT,
    Type::TEXT,
    Type::BYTEA,
    Type::BYTEA,
    Type::UUID,
    Type::JSONB,
    Type::BYTEA,
    Type::BYTEA,
    Type::BYTEA,
];

/// Copies records into the table.
///
/// # Errors
/// The database's, whose code says whether a row is to blame.
pub(super) async fn copy(transaction: &Transaction<'_>, records: &[Record]) -> Result<(), tokio_postgres::Error> {
    let sink = transaction.copy_in(&format!("COPY audit_events ({COLUMNS}) FROM STDIN BINARY")).await?;
    let writer = BinaryCopyInWriter::new(sink, &TYPES);
    pin_mut!(writer);
    for record in records {
        let entry = &record.entry;
        let status = entry.status.map(u16::cast_signed);
        let ip: Option<IpAddr> = entry.ip;
        let detail = Value::Object(entry.detail.clone());
        let ip_commit = record.ip_commit.as_ref().map(|bytes| bytes.as_slice());
        let salt = record.salt.as_ref().map(|bytes| bytes.as_slice());
        let user_agent_commit = record.user_agent_commit.as_ref().map(|bytes| bytes.as_slice());
        let fingerprint = entry.fingerprint.as_ref().map(|bytes| bytes.as_slice());
        let row: [&(dyn ToSql + Sync); 28] = [
            &entry.id,
            &record.stream,
            &record.sequence,
            &entry.occurred_at,
            &record.recorded_at,
            &entry.class,
            &entry.action,
            &entry.outcome,
            &entry.reason,
            &entry.organization_id,
            &entry.actor.kind,
            &entry.actor.id,
            &entry.actor.version,
            &entry.method,
            &entry.route,
            &status,
            &ip,
            &ip_commit,
            &salt,
            &entry.country,
            &entry.user_agent,
            &user_agent_commit,
            &fingerprint,
            &entry.request_id,
            &detail,
            &record.leaf.as_slice(),
            &record.prev.as_slice(),
            &record.hash.as_slice(),
        ];
        writer.as_mut().write(&row).await?;
    }
    writer.finish().await?;
    Ok(())
}
