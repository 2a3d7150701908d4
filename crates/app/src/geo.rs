//! Where an address is, by the MMDB file of `STATUSPULSE_GEO_DATABASE` (audit §1). A hint: it never decides access.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use arc_swap::ArcSwapOption;
use maxminddb::{LookupResult, PathElement, Reader, path};
use serde_json::{Map, Value, json};
use statuspulse_audit::{Entry, anomaly::travel::Place};
use statuspulse_policy::canonical_ip;

/// Characters of a name that the file gives, at most: it is a file that somebody downloaded.
const LONGEST: usize = 100;

/// The file, read into memory; swapped as a whole.
pub struct Geo {
    path: Option<PathBuf>,
    reader: ArcSwapOption<Reader<Vec<u8>>>,
}

impl Geo {
    /// Reads the file, if one is named. A missing or broken one is told once, and the service runs without.
    #[must_use]
    pub fn open(path: Option<PathBuf>) -> Self {
        let geo = Self { path, reader: ArcSwapOption::empty() };
        geo.reload();
        geo
    }

    /// Reads the file again. One that can't be read leaves none: an old file under a new name would be a wrong date.
    pub fn reload(&self) {
        let Some(path) = &self.path else { return };
        match read(path) {
            Ok(reader) => {
                tracing::info!(file = %path.display(), kind = %reader.metadata().database_type, "the geo database was read");
                self.reader.store(Some(reader.into()));
            }
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "the geo database can't be read: events have no country");
                self.reader.store(None);
            }
        }
    }

    /// Whether a file is named.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.path.is_some()
    }

    /// Whether a file is named that can't be read.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.path.is_some() && self.reader.load().is_none()
    }

    /// Adds to an event where its address is: the country, and in its detail what else the file knows.
    pub fn place(&self, entry: &mut Entry) {
        let reader = self.reader.load();
        let (Some(reader), Some(ip)) = (reader.as_deref(), entry.ip) else { return };
        let found = find(reader, ip);
        entry.country = found.country;
        if !found.place.is_empty() {
            entry.detail.insert("place".into(), Value::Object(found.place));
        }
        if let Ok(age) = reader.metadata().build_time().map(|at| at.duration_since(UNIX_EPOCH).unwrap_or_default()) {
            entry.detail.insert("geo_build".into(), json!(age.as_secs()));
        }
    }

    /// Where an address is, in degrees, if the file knows.
    #[must_use]
    pub fn coordinates(&self, ip: IpAddr) -> Option<Place> {
        let reader = self.reader.load();
        let result = reader.as_deref()?.lookup(canonical_ip(ip)).ok()?;
        let degrees = |paths: [&[PathElement<'_>]; 2]| paths.into_iter().find_map(|path| number(&result, path));
        let north = degrees([&path!["location", "latitude"], &path!["latitude"]])?;
        let east = degrees([&path!["location", "longitude"], &path!["longitude"]])?;
        Place::new(north, east)
    }

    /// The country of an address.
    #[must_use]
    pub fn country(&self, ip: IpAddr) -> Option<String> {
        find(self.reader.load().as_deref()?, ip).country
    }
}

/// Only what is needed to look something up: free files leave out descriptions that the format asks for, and a look-up that
/// meets a broken page finds nothing.
fn read(path: &Path) -> Result<Reader<Vec<u8>>, maxminddb::MaxMindDbError> {
    Reader::open_readfile(path)
}

#[derive(Default)]
struct Found {
    country: Option<String>,
    place: Map<String, Value>,
}

/// `::ffff:8.8.8.8` is in no file, so addresses are made canonical first.
fn find(reader: &Reader<Vec<u8>>, ip: IpAddr) -> Found {
    let mut found = Found::default();
    let Ok(result) = reader.lookup(canonical_ip(ip)) else { return found };
    // Layouts differ: MaxMind nests, the small country files are flat.
    found.country = [
        &path!["country", "iso_code"] as &[PathElement<'_>],
        &path!["country_code"],
        &path!["registered_country", "iso_code"],
        &path!["country"],
    ]
    .into_iter()
    .filter_map(|path| text(&result, path))
    .map(|code| code.to_ascii_uppercase())
    .find(|code| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()));
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            found.place.insert(name.to_owned(), json!(value));
        }
    };
    let region = [&path!["subdivisions", 0, "names", "en"] as &[PathElement<'_>], &path!["state1"], &path!["region"]];
    add("region", region.into_iter().find_map(|path| text(&result, path)));
    let city = [&path!["city", "names", "en"] as &[PathElement<'_>], &path!["city"]];
    add("city", city.into_iter().find_map(|path| text(&result, path)));
    let number = [&path!["autonomous_system_number"] as &[PathElement<'_>], &path!["asn"]];
    let network = number.into_iter().find_map(|path| result.decode_path::<u32>(path).ok().flatten());
    add("network", network.map(|number| format!("AS{number}")));
    found
}

/// A number at a place of the record; small files have single precision, or texts.
fn number(result: &LookupResult<'_, Vec<u8>>, path: &[PathElement<'_>]) -> Option<f64> {
    let double = || result.decode_path::<f64>(path).ok().flatten();
    let single = || result.decode_path::<f32>(path).ok().flatten().map(f64::from);
    double().or_else(single).or_else(|| text(result, path)?.parse().ok())
}

/// A text at a place of the record; none where there is something else.
fn text(result: &LookupResult<'_, Vec<u8>>, path: &[PathElement<'_>]) -> Option<String> {
    let text: String = result.decode_path(path).ok().flatten()?;
    let text: String = text.chars().filter(|character| !character.is_control()).take(LONGEST).collect();
    (!text.is_empty()).then_some(text)
}

impl fmt::Debug for Geo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Geo").field("path", &self.path).field("broken", &self.is_broken()).finish()
    }
}
