//! Well-formed tokens that nobody was ever given, one a line: `tokens NUMBER`. For the flood of `scripts/load`.

use std::io::{self, Write as _};

use statuspulse_app::Env;
use statuspulse_keys::{Token, token::Prefix};

fn main() -> io::Result<()> {
    let number = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_u32);
    let (env, mut out) = (Env::system(), io::stdout().lock());
    for _ in 0..number {
        let entropy = env.random().map_err(io::Error::other)?;
        writeln!(out, "{}", Token::from_entropy(Prefix::Live, &entropy).expose())?;
    }
    out.flush()
}
