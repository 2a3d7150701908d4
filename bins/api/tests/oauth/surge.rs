//! The attack: an app that passes itself off as a known one, and is authorized by many before anybody looks.

use std::time::Duration;

use serde_json::json;

use crate::{
    client::{Client, confidential},
    support::World,
};

/// So many more people who have authorized what the owner has.
async fn more_people(world: &World, from: u32, number: u32) {
    let until = from + number - 1;
    let people = format!(
        "INSERT INTO users SELECT (jsonb_populate_record(NULL::users, to_jsonb(u) || jsonb_build_object(
             'id', gen_random_uuid(), 'email', 'person' || n || '@acme.example'))).*
         FROM (SELECT * FROM users ORDER BY created_at LIMIT 1) u, generate_series({from}, {until}) n;
         INSERT INTO oauth_grants SELECT (jsonb_populate_record(NULL::oauth_grants, to_jsonb(g) || jsonb_build_object(
             'id', gen_random_uuid(), 'user_id', u.id))).*
         FROM (SELECT * FROM oauth_grants LIMIT 1) g, users u, generate_series({from}, {until}) n
         WHERE u.email = 'person' || n || '@acme.example'"
    );
    world.db.client().await.batch_execute(&people).await.unwrap();
}

async fn alerts_after_a_consent(world: &World, client: &Client) -> Vec<serde_json::Value> {
    world.code(client).await;
    world.alerts("consent_surge").await
}

#[tokio::test]
async fn a_new_app_that_ten_people_authorize_within_a_day_is_told_of() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.code(&client).await;
    more_people(&world, 1, 8).await;
    let nine = alerts_after_a_consent(&world, &client).await;
    more_people(&world, 9, 1).await;
    let ten = alerts_after_a_consent(&world, &client).await;
    assert_eq!((nine.len(), ten.len()), (0, 1));
    assert_eq!(json!([ten[0]["subject_kind"], ten[0]["count"], ten[0]["severity"]]), json!(["app", 10, "high"]));
}

#[tokio::test]
async fn an_app_that_is_known_for_a_week_may_be_popular() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    world.code(&client).await;
    more_people(&world, 1, 20).await;
    let client_sql = "UPDATE oauth_apps SET created_at = created_at - interval '8 days'";
    world.db.client().await.batch_execute(client_sql).await.unwrap();
    world.api.app.advance(Duration::from_secs(1)).await;
    assert_eq!(alerts_after_a_consent(&world, &client).await.len(), 0);
}
