//! `SIGHUP`: the catalog is read again and swapped as a whole; a bad file keeps the old one and says so in readiness.

use std::{path::PathBuf, sync::Arc};

use statuspulse_app::boot::read_catalog;

use crate::state::State;

/// Reads the catalog again.
pub(crate) fn reload(state: &State, file: Option<&PathBuf>) {
    let current = state.app.catalog.load_full();
    let read = read_catalog(file.map(PathBuf::as_path)).map_err(|error| error.to_string());
    let judged = read.and_then(|catalog| {
        catalog.check_follows(&current).map_err(|error| error.to_string())?;
        Ok(catalog)
    });
    match judged {
        Ok(catalog) => {
            state.app.catalog.store(Arc::new(catalog));
            state.set_catalog_refused(false);
            tracing::info!("the catalog was read again");
        }
        Err(error) => {
            state.set_catalog_refused(true);
            tracing::error!(%error, "the catalog was refused; the one before stays in force");
        }
    }
}
