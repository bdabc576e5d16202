//! The imports of a program that defines functions.

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
pub use vestibule_schema::id::DocumentId;
pub use vestibule_schema::object;
pub use vestibule_schema::table::{Index, Schema, Table};
pub use vestibule_schema::validator::Validator;
pub use vestibule_schema::value::{Object, Value};

pub use crate::app::{App, Config, LogFormat, StartError, StopSignals, log_to_stderr};
pub use crate::auth::UserIdentity;
pub use crate::database::{
    Comparison, DatabaseReader, DatabaseWriter, Document, Expression, Nullable, Order, Page,
    PaginationOptions, Patch,
};
pub use crate::deployment::{CronExpression, Schedule};
pub use crate::functions::{
    ActionCtx, ActionScheduler, Error, Function, HttpActionCtx, HttpRequest, HttpResponse,
    MutationCtx, NewFile, QueryCtx, ReadCtx, Result, Scheduler,
};
