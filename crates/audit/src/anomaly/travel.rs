//! How far two places are apart, and how fast somebody would have had to be.

use chrono::{DateTime, Utc};

/// Mean radius of the earth, in kilometres.
const RADIUS: f64 = 6_371.0;
/// What is nearer is within what a geo database may be wrong by, in kilometres.
pub const FAR: f64 = 500.0;
/// Faster than any airliner, in kilometres an hour.
pub const FAST: f64 = 1_000.0;

/// A place on earth, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// North of the equator.
    pub latitude: f64,
    /// East of Greenwich.
    pub longitude: f64,
}

impl Place {
    /// A place; none where the numbers are none of a place.
    #[must_use]
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        ((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude))
            .then_some(Self { latitude, longitude })
    }

    /// The same to a tenth of a degree, about 11 km: where a call came from need not be known better.
    #[must_use]
    pub fn rounded(self) -> Self {
        let tenth = |degrees: f64| (degrees * 10.0).round() / 10.0;
        Self { latitude: tenth(self.latitude), longitude: tenth(self.longitude) }
    }

    /// Great-circle distance in kilometres.
    #[must_use]
    pub fn distance(self, other: Self) -> f64 {
        let (from, to) = (self.latitude.to_radians(), other.latitude.to_radians());
        let (north, east) = ((to - from) / 2.0, (other.longitude - self.longitude).to_radians() / 2.0);
        let haversine = north.sin().powi(2) + from.cos() * to.cos() * east.sin().powi(2);
        2.0 * RADIUS * haversine.clamp(0.0, 1.0).sqrt().asin()
    }
}

/// Two calls that one holder can't have made: distance in kilometres, and kilometres an hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Travel {
    /// Great-circle distance in kilometres.
    pub distance: f64,
    /// Kilometres an hour; infinite when both happened at once.
    pub speed: f64,
}

impl Travel {
    /// From one call to the other, in whichever order they are told.
    #[must_use]
    pub fn between((from, left): (Place, DateTime<Utc>), (to, arrived): (Place, DateTime<Utc>)) -> Self {
        let distance = from.distance(to);
        let hours = (arrived - left).abs().as_seconds_f64() / 3_600.0;
        Self { distance, speed: if distance > 0.0 { distance / hours } else { 0.0 } }
    }

    /// Whether nobody travels like that.
    #[must_use]
    pub fn is_impossible(self) -> bool {
        self.distance >= FAR && self.speed > FAST
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;
    use proptest::prelude::*;

    use super::*;

    const BERLIN: Place = Place { latitude: 52.5, longitude: 13.4 };
    const NEW_YORK: Place = Place { latitude: 40.7, longitude: -74.0 };
    const HAMBURG: Place = Place { latitude: 53.6, longitude: 10.0 };

    fn travel(to: Place, minutes: i64) -> Travel {
        let at = DateTime::UNIX_EPOCH;
        Travel::between((BERLIN, at), (to, at + Duration::minutes(minutes)))
    }

    #[test]
    fn berlin_and_new_york_are_as_far_apart_as_the_atlas_says() {
        assert!((BERLIN.distance(NEW_YORK) - 6_385.0).abs() < 15.0, "{}", BERLIN.distance(NEW_YORK));
    }

    #[test]
    fn an_airliner_is_possible_and_an_hour_to_new_york_is_not() {
        let judged = [travel(NEW_YORK, 60), travel(NEW_YORK, 8 * 60), travel(HAMBURG, 1), travel(BERLIN, 0)];
        assert_eq!(judged.map(Travel::is_impossible), [true, false, false, false]);
    }

    #[test]
    fn two_places_at_the_same_moment_are_impossible() {
        assert!(travel(NEW_YORK, 0).is_impossible());
    }

    #[test]
    fn numbers_that_are_no_place_are_none() {
        let read = [(91.0, 0.0), (0.0, 181.0), (f64::NAN, 0.0)].map(|(north, east)| Place::new(north, east));
        assert_eq!(read, [None, None, None]);
    }

    fn places() -> impl Strategy<Value = Place> {
        (-90.0..=90.0, -180.0..=180.0).prop_map(|(latitude, longitude)| Place { latitude, longitude })
    }

    proptest! {
        #[test]
        fn the_way_back_is_as_long_and_none_is_longer_than_half_the_earth(a in places(), b in places()) {
            prop_assert!((a.distance(b) - b.distance(a)).abs() < 1e-6);
            prop_assert!(a.distance(b) <= RADIUS * std::f64::consts::PI + 1e-6);
        }
    }
}
