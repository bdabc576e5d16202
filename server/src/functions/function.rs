//! Functions as the registry holds them, and how Rust functions become one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_schema::convert::{from_value, to_value};
use vestibule_schema::validator::Validator;
use vestibule_schema::value::Value;

use super::action::ActionCtx;
use super::context::{MutationCtx, QueryCtx};
use super::error::{Error, Result};
pub use crate::deployment::{FunctionKind, Visibility};

/// A function's future in a box.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The body of a query.
pub type QueryBody = dyn Fn(&mut QueryCtx<'_>, Value) -> Result<Value> + Send + Sync;
/// The body of a mutation.
pub type MutationBody = dyn Fn(&mut MutationCtx<'_>, Value) -> Result<Value> + Send + Sync;
/// The body of an action.
pub type ActionBody = dyn Fn(ActionCtx, Value) -> BoxFuture<Result<Value>> + Send + Sync;

/// The body of a function. Languages other than Rust bring their own closures.
#[derive(Clone)]
pub enum Body {
    Query(Arc<QueryBody>),
    Mutation(Arc<MutationBody>),
    Action(Arc<ActionBody>),
}

/// A registered function.
#[derive(Clone)]
pub struct Function {
    pub(super) path: String,
    pub(super) visibility: Visibility,
    /// The error is told when the app starts.
    pub(super) args: Result<Validator, String>,
    pub(super) returns: Option<Validator>,
    pub(super) body: Body,
    pub(super) is_beside: bool,
}

impl Function {
    /// A public query. The arguments' validator is learnt from `A`; a result is whatever `R` serializes to.
    pub fn query<A, R>(
        path: &str,
        body: impl Fn(&mut QueryCtx<'_>, A) -> Result<R> + Send + Sync + 'static,
    ) -> Function
    where
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
    {
        let body = move |ctx: &mut QueryCtx<'_>, args: Value| encode(body(ctx, decode(args)?)?);
        Function::new::<A>(path, Body::Query(Arc::new(body)))
    }

    /// A public mutation.
    pub fn mutation<A, R>(
        path: &str,
        body: impl Fn(&mut MutationCtx<'_>, A) -> Result<R> + Send + Sync + 'static,
    ) -> Function
    where
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
    {
        let body = move |ctx: &mut MutationCtx<'_>, args: Value| encode(body(ctx, decode(args)?)?);
        Function::new::<A>(path, Body::Mutation(Arc::new(body)))
    }

    /// A public action.
    pub fn action<A, R, F>(
        path: &str,
        body: impl Fn(ActionCtx, A) -> F + Send + Sync + 'static,
    ) -> Function
    where
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
        F: Future<Output = Result<R>> + Send + 'static,
    {
        let body = move |ctx: ActionCtx, args: Value| -> BoxFuture<Result<Value>> {
            match decode(args) {
                Ok(args) => {
                    let running = body(ctx, args);
                    Box::pin(async move { encode(running.await?) })
                }
                Err(error) => Box::pin(std::future::ready(Err(error))),
            }
        };
        Function::new::<A>(path, Body::Action(Arc::new(body)))
    }

    fn new<A: DeserializeOwned + 'static>(path: &str, body: Body) -> Function {
        Function {
            path: path.to_string(),
            visibility: Visibility::Public,
            args: Validator::of_args::<A>().map_err(|error| error.to_string()),
            returns: None,
            body,
            is_beside: false,
        }
    }

    /// Only other functions and administrators may call it.
    pub fn internal(mut self) -> Self {
        self.visibility = Visibility::Internal;
        self
    }

    /// Checks arguments with `validator` instead of the one learnt from the type.
    pub fn args(mut self, validator: Validator) -> Self {
        self.args = Ok(validator);
        self
    }

    /// Checks results too.
    pub fn returns(mut self, validator: Validator) -> Self {
        self.returns = Some(validator);
        self
    }

    /// Lets a mutation run beside the lane, on the head as it was: for bodies that take long. It may run several times
    /// before it commits, and still no caller sees a conflict.
    pub fn beside_the_lane(mut self) -> Self {
        self.is_beside = true;
        self
    }

    /// Its kind.
    pub fn kind(&self) -> FunctionKind {
        match self.body {
            Body::Query(_) => FunctionKind::Query,
            Body::Mutation(_) => FunctionKind::Mutation,
            Body::Action(_) => FunctionKind::Action,
        }
    }
}

fn decode<A: DeserializeOwned>(args: Value) -> Result<A> {
    from_value(args).map_err(|error| Error::plain(format!("ArgumentValidationError: {error}")))
}

fn encode<R: Serialize>(result: R) -> Result<Value> {
    to_value(&result).map_err(|error| Error::plain(format!("ReturnsValidationError: {error}")))
}
