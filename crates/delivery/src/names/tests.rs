use super::*;

const PUBLIC: &str = "8.8.8.8";

fn ips(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

/// What is left to be dialled of a name with these addresses; an error says whether the guard made it.
async fn dialled(addresses: &[&str], allowed: &str, reach: Reach) -> Result<Vec<IpAddr>, bool> {
    let found = ips(addresses);
    let guard = Guard {
        names: Arc::new(move |_: &str| Ok(found.clone())),
        allowed: Arc::new(AllowedNetworks::parse(allowed).unwrap()),
        reach,
    };
    match guard.resolve("hooks.example".parse().unwrap()).await {
        Ok(found) => Ok(found.map(|address| address.ip()).collect()),
        Err(error) => Err(error.is::<AddressNotAllowed>()),
    }
}

/// spec: keys K41
#[tokio::test]
async fn of_a_public_and_a_private_address_only_the_public_one_is_dialled() {
    assert_eq!(dialled(&["10.0.0.1", PUBLIC, "::1"], "", Reach::Public).await, Ok(ips(&[PUBLIC])));
}

#[tokio::test]
async fn a_name_with_private_addresses_only_is_refused() {
    assert_eq!(dialled(&["10.0.0.1", "::ffff:127.0.0.1"], "", Reach::Public).await, Err(true));
}

#[tokio::test]
async fn an_allowed_private_address_is_dialled_beside_the_public_one() {
    assert_eq!(dialled(&["10.0.0.1", PUBLIC], "10.0.0.0/8", Reach::Public).await, Ok(ips(&["10.0.0.1", PUBLIC])));
}

#[tokio::test]
async fn a_target_that_is_only_allowed_inside_never_leaves_the_allowed_networks() {
    assert_eq!(dialled(&["10.0.0.1", PUBLIC], "10.0.0.0/8", Reach::AllowedOnly).await, Ok(ips(&["10.0.0.1"])));
}

#[tokio::test]
async fn a_public_address_alone_is_refused_for_a_target_that_is_only_allowed_inside() {
    assert_eq!(dialled(&[PUBLIC], "10.0.0.0/8", Reach::AllowedOnly).await, Err(true));
}

#[tokio::test]
async fn a_name_without_addresses_is_unknown_and_not_refused() {
    assert_eq!(dialled(&[], "", Reach::Public).await, Err(false));
}

#[tokio::test]
async fn the_system_knows_what_an_address_means() {
    assert_eq!(SystemNames.addresses("127.0.0.1").await.unwrap(), ips(&["127.0.0.1"]));
}
