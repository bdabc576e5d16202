//! Pushed functions: JavaScript and its environment.
//!
//! A [`Code`](code::Code) holds the modules of a push; [`Runtimes`](runtimes::Runtimes) keep engines ready with them. A
//! query or mutation runs in `execution` on the thread that called it, an action in `action` on one of its own. Actions in
//! modules with "use node" run in processes of Node.js (`node`).

mod action;
mod action_calls;
mod action_files;
mod action_host;
mod analyze;
pub mod code;
mod common;
mod encoded;
mod execution;
mod failures;
mod fetching;
mod files;
mod headers;
pub mod http;
mod http_answer;
mod import;
mod inline;
mod known;
mod memory_taken;
mod nested;
pub mod node;
mod prelude;
pub mod runtimes;
mod stack;
mod steps;
mod streams;
pub mod syscalls;
#[cfg(test)]
pub(crate) mod tests;
mod timers;
mod warming;
mod warnings;
pub mod web;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vestibule_schema::path::ComponentPath;
use vestibule_schema::value::Value;

use self::action::ActionTarget;
use self::code::{Code, CompiledModules};
use self::execution::Target;
use self::http::Below;
use self::node::Node;
use self::node::call::NodeTarget;
use self::node::code::NodeCode;
use self::runtimes::Runtimes;
use self::steps::Steps;
use self::syscalls::DeploymentMetadata;
use super::CodePart;
use super::action::ActionCtx;
use super::context::{MutationCtx, QueryCtx};
use super::function::{Body, FunctionKind, Visibility};
use super::http_routes::HttpRoute;
use super::places::Places;
use super::registry::{Pushed, Registered};
use super::streamed::PushedRouter;
use crate::auth::TokenSigner;
use crate::clock::Clock;
use crate::deployment::{
    Deployment, FunctionKind as PushedKind, ImportPhase, ModuleEnvironment, PushedRoute,
    SourceModule, Visibility as PushedVisibility,
};

use crate::outbound::Outbound;

pub use super::options::JsOptions;
pub use inline::InlineQuery;
pub use warming::Warming;

/// Runs JavaScript functions.
pub struct Js {
    runtimes: Runtimes,
    compiled: CompiledModules,
    signer: OnceLock<Arc<TokenSigner>>,
    outbound: Arc<Outbound>,
    node: Arc<Node>,
    deployment: Arc<DeploymentMetadata>,
    places: Arc<Places>,
    /// The steps of actions that are in the engine.
    steps: Steps,
    /// Threads that make images ready for a deployment.
    warming: Arc<AtomicUsize>,
    /// Cancelled when the server ends, for the actions that are still under way.
    ending: CancellationToken,
    options: JsOptions,
    clock: Arc<dyn Clock>,
}

impl Js {
    /// The runner of this build, for the deployment called `name`.
    pub fn of_this_build(name: &str, options: JsOptions, clock: Arc<dyn Clock>) -> Option<Arc<Js>> {
        Some(Js::new(name, options, clock))
    }

    /// A runner for the deployment called `name`.
    pub fn new(name: &str, options: JsOptions, clock: Arc<dyn Clock>) -> Arc<Js> {
        let places = Places::new(&options);
        let (step_max, executor) = (options.action_step_max, options.executor.clone());
        let outbound = Arc::new(Outbound::new(options.outbound.clone()));
        let ending = CancellationToken::new();
        Arc::new(Js {
            steps: Steps::new(step_max, places.clone(), clock.clone(), executor),
            places,
            runtimes: Runtimes::new(&options),
            compiled: match options.native_heads {
                true => CompiledModules::default(),
                false => CompiledModules::plain(),
            },
            signer: OnceLock::new(),
            node: Node::new(&options, outbound.clone(), clock.clone(), ending.clone()),
            outbound,
            deployment: Arc::new(DeploymentMetadata {
                name: name.to_owned(),
                class: "s16",
            }),
            warming: Arc::default(),
            ending,
            options,
            clock,
        })
    }

    /// Ends the actions that wait for something: the server ends, and nobody hears of them any more.
    pub fn end_actions(&self) {
        self.ending.cancel();
    }

    /// Hands in what signs tokens for functions, once.
    pub fn sign_with(&self, signer: TokenSigner) {
        let is_first = self.signer.set(Arc::new(signer)).is_ok();
        assert!(is_first, "a deployment has one signer");
    }

    /// The places of actions, of those in Rust too.
    pub fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// Actions that are stuck in a native operation of their engine.
    pub fn stuck(&self) -> usize {
        self.steps.stuck()
    }

    /// The routes of `deployment`'s HTTP actions, which run `codes`, those of mounted components among them; none when no part
    /// has a router.
    pub fn http_routes(
        self: &Arc<Self>,
        deployment: &Deployment,
        codes: &BTreeMap<ComponentPath, Arc<Code>>,
    ) -> Option<Vec<HttpRoute>> {
        let mut routes = Vec::new();
        for (prefix, component) in deployment.http_places() {
            let found = deployment.part(&component).zip(codes.get(&component));
            let Some((part, code)) = found else { continue };
            let Some(listed) = &part.http_routes else {
                continue;
            };
            let is_app = component.is_root();
            let router = http::Router::new(self.clone(), code.clone(), component);
            let router: Arc<dyn PushedRouter> = match is_app {
                true => Arc::new(router),
                false => Arc::new(Below::new(prefix.clone(), router)),
            };
            let below = listed.iter().map(|route| PushedRoute {
                path: format!("{prefix}{}", route.path),
                method: route.method.clone(),
            });
            routes.extend(below.filter_map(|route| HttpRoute::pushed(&route, router.clone())));
            if is_app {
                routes.push(HttpRoute::rest(router));
            }
        }
        Some(routes).filter(|routes| !routes.is_empty())
    }

    /// Functions of packages that were found in pushed modules: the name, whether it got a native head, and how often.
    pub fn known_counts(&self) -> Vec<(&'static str, bool, u64)> {
        self.compiled.heads.counts()
    }

    /// Engines kept ready.
    pub fn runtimes(&self) -> &Runtimes {
        &self.runtimes
    }

    /// Compiles the modules among `sources` that run in this server.
    pub fn code(
        &self,
        sources: &[SourceModule],
        variables: BTreeMap<String, String>,
        import: ImportPhase,
    ) -> Arc<Code> {
        let isolate = |module: &&SourceModule| module.environment == ModuleEnvironment::Isolate;
        let modules = sources.iter().filter(isolate);
        Arc::new(Code::compile(&self.compiled, modules, variables, import))
    }

    /// Compiles the modules of the app or a component.
    pub fn code_of(&self, part: &CodePart, import: ImportPhase) -> Arc<Code> {
        let isolate = |module: &&SourceModule| module.environment == ModuleEnvironment::Isolate;
        let modules = part.sources.iter().filter(isolate);
        let code = Code::compile(&self.compiled, modules, part.variables.clone(), import);
        Arc::new(match &part.given {
            Some(given) => code.given(given.clone()),
            None => code,
        })
    }

    /// The functions of `deployment`, the app's or a component's, which run `code`, and those for Node.js, which run `node`.
    pub(super) fn functions(
        self: &Arc<Self>,
        deployment: &Deployment,
        code: &Arc<Code>,
        node: Option<&Arc<NodeCode>>,
    ) -> Vec<Registered> {
        let functions = deployment.functions.values().map(|function| {
            let kind = match function.kind {
                PushedKind::Query => FunctionKind::Query,
                PushedKind::Mutation => FunctionKind::Mutation,
                PushedKind::Action => FunctionKind::Action,
            };
            let path = function.path.clone();
            let node = node.filter(|_| function.environment == ModuleEnvironment::Node);
            Registered {
                visibility: match function.visibility {
                    PushedVisibility::Public => Visibility::Public,
                    PushedVisibility::Internal => Visibility::Internal,
                },
                args: function.args.clone(),
                returns: function.returns.clone(),
                body: match node {
                    None => self.body(kind, &path, code),
                    Some(node) => self.node_body(&path, node),
                },
                is_beside: true,
                pushed: Some(Pushed {
                    code: code.clone(),
                    node: node.cloned(),
                }),
                tally: Arc::default(),
                path,
            }
        });
        functions.collect()
    }

    fn node_body(
        self: &Arc<Self>,
        path: &vestibule_schema::path::FunctionPath,
        code: &Arc<NodeCode>,
    ) -> Body {
        let target = NodeTarget {
            js: self.clone(),
            code: code.clone(),
            path: path.clone(),
        };
        Body::Action(Arc::new(move |ctx: ActionCtx, args: Value| {
            Box::pin(node::call::run(target.clone(), ctx, args))
        }))
    }

    fn body(
        self: &Arc<Self>,
        kind: FunctionKind,
        path: &vestibule_schema::path::FunctionPath,
        code: &Arc<Code>,
    ) -> Body {
        let (js, code, path) = (self.clone(), code.clone(), path.clone());
        match kind {
            FunctionKind::Query => {
                Body::Query(Arc::new(move |ctx: &mut QueryCtx<'_>, args: Value| {
                    let (js, code, path) = (&js, &code, &path);
                    let target = Target {
                        js,
                        code,
                        path,
                        kind,
                    };
                    execution::run(&target, &mut ctx.execution, args)
                }))
            }
            FunctionKind::Mutation => {
                Body::Mutation(Arc::new(move |ctx: &mut MutationCtx<'_>, args: Value| {
                    let (js, code, path) = (&js, &code, &path);
                    let target = Target {
                        js,
                        code,
                        path,
                        kind,
                    };
                    execution::run(&target, &mut ctx.execution, args)
                }))
            }
            FunctionKind::Action => Body::Action(Arc::new(move |ctx: ActionCtx, args: Value| {
                let target = ActionTarget {
                    js: js.clone(),
                    code: code.clone(),
                    path: path.clone(),
                };
                Box::pin(action::run(target, ctx, args))
            })),
        }
    }

    /// Threads that may be started while others are at long calls.
    pub(super) fn spare_threads(&self) -> Option<usize> {
        self.options.spare_threads
    }

    /// Time in the engine that a mutation may take.
    pub(super) fn mutation_time_max(&self) -> Duration {
        self.options.mutation_time_max
    }

    fn time_max(&self, kind: FunctionKind) -> Duration {
        match kind {
            FunctionKind::Query => self.options.query_time_max,
            FunctionKind::Mutation => self.options.mutation_time_max,
            FunctionKind::Action => self.options.action_time_max,
        }
    }
}
