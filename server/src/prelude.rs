//! The imports of a program that defines functions.
//!
//! Names of the standard prelude keep their meaning. `Result<T>` with one type is the result of a function; with two types it
//! is the standard one.
//!
//! ```
//! use std::num::ParseIntError;
//! use vestibule_server::prelude::*;
//!
//! fn parsed(text: &str) -> Result<u8, ParseIntError> {
//!     text.parse()
//! }
//!
//! let results: Result<Vec<u8>, ParseIntError> = ["1", "2"].into_iter().map(parsed).collect();
//! assert_eq!(results, Result::Ok(vec![1, 2]));
//! let numbers: Vec<u8> = ["1", "x"].into_iter().map(parsed).filter_map(Result::ok).collect();
//! assert_eq!(numbers, [1]);
//! ```

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
pub use vestibule_schema::id::DocumentId;
pub use vestibule_schema::object;
pub use vestibule_schema::table::{Index, Schema, SearchIndex, Table, VectorIndex};
pub use vestibule_schema::validator::Validator;
pub use vestibule_schema::value::{Object, Value};

pub use crate::app::{App, Config, LogFormat, StartError, StopSignals, log_to_stderr};
pub use crate::auth::UserIdentity;
pub use crate::database::{
    Comparison, DatabaseReader, DatabaseWriter, Document, Expression, Nullable, Order, Page,
    PaginationOptions, Patch, VectorFilter,
};
pub use crate::deployment::{CronExpression, Schedule};
pub use crate::functions::{
    ActionCtx, ActionScheduler, ArrivingRequest, BodyWriter, Error, Function, HttpActionCtx,
    HttpBody, HttpRequest, HttpResponse, MutationCtx, Near, NewFile, QueryCtx, ReadCtx, Result,
    Scheduler, VectorSearch,
};
