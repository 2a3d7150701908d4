//! A geo database of two places, in the form of MaxMind's files (MaxMind DB File Format 2.0).

/// A place: country, latitude, longitude.
pub type GeoPlace<'a> = (&'a str, f64, f64);

fn head(kind: u8, size: u8) -> u8 {
    kind << 5 | size
}

fn text(into: &mut Vec<u8>, text: &str) {
    into.push(head(2, u8::try_from(text.len()).expect("a short text")));
    into.extend_from_slice(text.as_bytes());
}

fn double(into: &mut Vec<u8>, number: f64) {
    into.push(head(3, 8));
    into.extend_from_slice(&number.to_be_bytes());
}

/// Unsigned numbers of 16 (kind 5) and 32 bits (kind 6), and of 64 bits, which have an extended kind.
fn number(into: &mut Vec<u8>, kind: u8, number: u32) {
    if kind > 7 {
        into.extend([head(0, 4), kind - 7]);
    } else {
        into.push(head(kind, if kind == 5 { 2 } else { 4 }));
    }
    let bytes = number.to_be_bytes();
    into.extend_from_slice(if kind == 5 { &bytes[2..] } else { &bytes });
}

fn place((country, latitude, longitude): GeoPlace<'_>) -> Vec<u8> {
    let mut record = vec![head(7, 2)];
    text(&mut record, "country");
    record.push(head(7, 1));
    text(&mut record, "iso_code");
    text(&mut record, country);
    text(&mut record, "location");
    record.push(head(7, 2));
    text(&mut record, "latitude");
    double(&mut record, latitude);
    text(&mut record, "longitude");
    double(&mut record, longitude);
    record
}

/// The bytes of a file in which IPv4 addresses below 128.0.0.0 are at one place, and all others at another.
///
/// # Panics
/// When a name is too long.
#[must_use]
pub fn geo_database(low: GeoPlace<'_>, high: GeoPlace<'_>) -> Vec<u8> {
    const NODES: u32 = 1;
    const SEPARATOR: usize = 16;
    let (low, high) = (place(low), place(high));
    let pointer = |offset: usize| NODES + 16 + u32::try_from(offset).expect("a small file");
    let mut file = Vec::new();
    for record in [pointer(0), pointer(low.len())] {
        file.extend_from_slice(&record.to_be_bytes()[1..]);
    }
    file.extend([0; SEPARATOR]);
    file.extend(low);
    file.extend(high);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    file.push(head(7, 9));
    for (name, kind, value) in [
        ("node_count", 6, NODES),
        ("record_size", 5, 24),
        ("ip_version", 5, 4),
        ("binary_format_major_version", 5, 2),
        ("binary_format_minor_version", 5, 0),
        ("build_epoch", 9, 1_700_000_000),
    ] {
        text(&mut file, name);
        number(&mut file, kind, value);
    }
    text(&mut file, "database_type");
    text(&mut file, "Test-City");
    text(&mut file, "languages");
    file.extend([head(0, 0), 4]);
    text(&mut file, "description");
    file.push(head(7, 0));
    file
}
