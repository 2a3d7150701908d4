use super::*;

#[test]
fn every_environment_is_read_back_from_its_name() {
    assert_eq!(Environment::ALL.map(|environment| environment.as_str().parse()), Environment::ALL.map(Ok));
}

#[test]
fn an_environment_is_read_exactly() {
    assert_eq!("Production".parse::<Environment>(), Err(UnknownEnvironment("Production".to_owned())));
}

#[test]
fn only_staging_keys_begin_with_sp_test() {
    assert_eq!(Environment::ALL.map(Environment::token_prefix), ["sp_live_", "sp_test_", "sp_live_"]);
}

#[test]
fn only_analytics_is_read_only() {
    assert_eq!(Environment::ALL.map(Environment::read_only), [false, false, true]);
}

#[test]
fn staging_keys_live_longest() {
    assert_eq!(Environment::ALL.map(Environment::max_lifespan_days), [90, 365, 90]);
}

#[test]
fn naming_no_environment_serves_every_one() {
    assert_eq!(Served::from_names([]), Ok(Served::Any));
}

#[test]
fn a_named_environment_is_served_alone() {
    let served = Served::from_names(["staging", "staging"]).unwrap();
    assert_eq!(Environment::ALL.map(|environment| served.serves(environment)), [false, true, false]);
}

#[test]
fn an_unknown_name_is_refused_beside_known_ones() {
    assert_eq!(Served::from_names(["production", "prod"]), Err(UnknownEnvironment("prod".to_owned())));
}

#[test]
fn serving_the_empty_set_serves_nothing() {
    let served = Served::Only(EnvironmentSet::EMPTY);
    assert_eq!(Environment::ALL.map(|environment| served.serves(environment)), [false; 3]);
}

#[test]
fn an_environment_set_lists_its_members() {
    assert_eq!(
        format!("{:?}", Environment::ALL.into_iter().collect::<EnvironmentSet>()),
        "{Production, Staging, Analytics}"
    );
}
