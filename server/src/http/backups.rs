//! The routes of backups, as `vestibule backup` asks them. A backup holds the deployment's secret, so only the holder of an
//! admin key with all rights may.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use vestibule_schema::timestamp::Timestamp;

use super::Http;
use super::credentials::query_parameter;
use super::respond::{WireError, json, with_type};
use crate::backup::{BackupError, Verified, Wanted};

type Answer = Result<Response, WireError>;

/// `POST /api/vestibule/backup`: its frames, as they are read.
pub(super) async fn back_up(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_writing_admin(&parts).await?;
    let wanted = Wanted {
        log_since: number::<u64>(&parts, "logSince")?.map(Timestamp),
        contents_since: number(&parts, "contentsSince")?,
    };
    let frames = http.backups.begin(wanted).map_err(|error| match error {
        BackupError::InProgress => {
            WireError::new(StatusCode::CONFLICT, "BackupInProgress", error.to_string())
        }
        error => {
            tracing::error!(%error, "a backup cannot begin");
            WireError::internal()
        }
    })?;
    let body = Body::from_stream(frames);
    Ok(with_type(StatusCode::OK, "application/octet-stream", body))
}

/// `POST /api/vestibule/backup_verified`: takes note of a backup that its receiver has read back.
pub(super) async fn note_verified(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_writing_admin(&parts).await?;
    let missing = |name| {
        let message = format!("{name} must be given.");
        WireError::bad_request("BadQueryArgs", message)
    };
    http.backups.note_verified(Verified {
        ts: number(&parts, "ts")?.ok_or_else(|| missing("ts"))?,
        bytes: number(&parts, "bytes")?.ok_or_else(|| missing("bytes"))?,
        started_at: number(&parts, "startedAt")?.ok_or_else(|| missing("startedAt"))?,
        is_base: number::<u8>(&parts, "isBase")?.is_some_and(|is_base| is_base != 0),
    });
    Ok(json(StatusCode::OK, "null".to_owned()))
}

fn number<T: std::str::FromStr>(parts: &Parts, name: &str) -> Result<Option<T>, WireError> {
    let parsed = query_parameter(parts, name).map(|text| text.parse());
    parsed.transpose().map_err(|_| {
        WireError::bad_request("BadQueryArgs", format!("{name} must be a whole number."))
    })
}
