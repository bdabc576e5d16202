//! Files: where to send one, and where it is then.

use serde::Deserialize;
use vestibule_server::prelude::*;

/// A file's id.
#[derive(Deserialize)]
pub struct Which {
    id: String,
}

/// An address to send files to.
pub fn upload_url(ctx: &mut MutationCtx, (): ()) -> Result<String> {
    ctx.storage().generate_upload_url()
}

/// The address of a file.
pub fn url(ctx: &mut QueryCtx, Which { id }: Which) -> Result<Option<String>> {
    ctx.storage().get_url(id)
}
