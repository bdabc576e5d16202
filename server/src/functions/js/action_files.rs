//! The content of files as JavaScript actions store and get it: as bytes and as a stream.

use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;
use vestibule_isolate::HostValue;

use super::action_calls::{Operations, Outcome};
use super::action_host::take_bytes;
use super::common::text;
use super::syscalls::action_sha256;
use crate::functions::streamed::StreamError;
use crate::functions::{BoxFuture, NewFile};

impl Operations<'_> {
    /// `storage.store`: a type, perhaps a hash, and the bytes.
    pub(super) fn store_file(&self, args: &mut [HostValue]) -> BoxFuture<Outcome> {
        let bytes = args.get_mut(4).and_then(take_bytes).unwrap_or_default();
        let share = match self.streams.hold(bytes.len()) {
            Ok(share) => share,
            Err(error) => return Outcome::error(error.message).at_once(),
        };
        let mut file = NewFile::new(bytes);
        match text(args, 2) {
            None | Some("") => {}
            Some(content_type) => file = file.content_type(content_type),
        }
        match text(args, 3).map(action_sha256).transpose() {
            Ok(None) => {}
            Ok(Some(sha256)) => file = file.sha256(sha256),
            Err(error) => return Outcome::from(error).at_once(),
        }
        let storage = self.ctx.storage();
        Box::pin(async move {
            let _share = share;
            match storage.store(file).await {
                Ok(id) => Outcome::Done(HostValue::String(id.to_string())),
                Err(error) => error.into(),
            }
        })
    }

    /// `storage.get`: the content comes as a stream.
    pub(super) fn open_file(&self, id: String) -> BoxFuture<Outcome> {
        let storage = self.ctx.storage();
        Box::pin(async move {
            match storage.open(id).await {
                Ok(None) => Outcome::Done(HostValue::Null),
                Ok(Some(file)) => {
                    let content = file.content;
                    let broken = |error| {
                        tracing::error!(%error, "a file could not be read");
                        StreamError::plain("The file could not be read to its end.")
                    };
                    Outcome::Opened {
                        json: json!({ "contentType": file.row.content_type }),
                        body: Some(content.map_err(broken).boxed()),
                    }
                }
                Err(error) => error.into(),
            }
        })
    }
}
