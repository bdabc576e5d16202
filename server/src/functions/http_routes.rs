//! The routes of an app's HTTP actions: the allowed routes, and the route that takes a request.

use std::cmp::Reverse;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use http::Method;
use vestibule_schema::path::ComponentPath;

use super::error::Result;
use super::function::BoxFuture;
use super::http_action::{ArrivingRequest, HttpActionCtx, HttpRequest, HttpResponse};
use super::http_running::HTTP_ACTION;
use super::registry::{RegistryError, Runs, Tally};
use super::streamed::PushedRouter;
use crate::deployment::PushedRoute;

/// The methods that a route may have. A `HEAD` request goes to a route for `GET`.
const METHODS: [Method; 6] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::OPTIONS,
    Method::PATCH,
];

/// The body of an HTTP action.
pub type HttpActionBody =
    dyn Fn(HttpActionCtx, ArrivingRequest) -> BoxFuture<Result<HttpResponse>> + Send + Sync;

/// An HTTP action and the requests it takes.
#[derive(Clone)]
pub struct HttpRoute {
    method: Method,
    place: Place,
    body: RouteBody,
}

/// The code that answers the requests of a route.
#[derive(Clone)]
pub(super) enum RouteBody {
    /// A function of the program itself.
    Native {
        body: Arc<HttpActionBody>,
        /// Whether it is asked once the whole request is there.
        takes_whole: bool,
    },
    /// The router that was pushed.
    Pushed(Arc<dyn PushedRouter>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// This path alone.
    Path(String),
    /// Every path that begins so.
    Prefix(String),
    /// Every path that no other route takes. The pushed router decides whether it does.
    Rest,
}

/// The routes, immutable.
#[derive(Clone, Default)]
pub struct HttpRoutes {
    /// In the order in which they are tried.
    routes: Vec<Arc<RegisteredRoute>>,
    /// Asks the router that was pushed, with routes or without.
    rest: Option<Arc<RegisteredRoute>>,
}

/// A route with everything about it checked.
pub struct RegisteredRoute {
    method: Method,
    place: Place,
    label: String,
    pub(super) body: RouteBody,
    tally: Arc<Tally>,
}

/// The result of looking up a request's method and path.
pub enum RouteFound {
    /// This action.
    Route(Arc<RegisteredRoute>),
    /// Only actions of the program itself, for these methods.
    OtherMethods(Vec<Method>),
    /// Nothing.
    Nothing,
    /// Nothing: the app has no routes at all.
    NoRoutes,
}

impl HttpRoute {
    /// Answers requests for `path` alone.
    pub fn path<F>(
        method: Method,
        path: &str,
        body: impl Fn(HttpActionCtx, HttpRequest) -> F + Send + Sync + 'static,
    ) -> HttpRoute
    where
        F: Future<Output = Result<HttpResponse>> + Send + 'static,
    {
        HttpRoute::new(method, Place::Path(path.to_string()), body)
    }

    /// Answers requests for every path that begins with `prefix`. The longest prefix wins, and an exact path before it.
    pub fn path_prefix<F>(
        method: Method,
        prefix: &str,
        body: impl Fn(HttpActionCtx, HttpRequest) -> F + Send + Sync + 'static,
    ) -> HttpRoute
    where
        F: Future<Output = Result<HttpResponse>> + Send + 'static,
    {
        HttpRoute::new(method, Place::Prefix(prefix.to_string()), body)
    }

    /// As [`HttpRoute::path`], for a request whose body arrives while the action runs.
    pub fn arriving<F>(
        method: Method,
        path: &str,
        body: impl Fn(HttpActionCtx, ArrivingRequest) -> F + Send + Sync + 'static,
    ) -> HttpRoute
    where
        F: Future<Output = Result<HttpResponse>> + Send + 'static,
    {
        HttpRoute::new_arriving(method, Place::Path(path.to_string()), body)
    }

    /// As [`HttpRoute::path_prefix`], for a request whose body arrives while the action runs.
    pub fn arriving_prefix<F>(
        method: Method,
        prefix: &str,
        body: impl Fn(HttpActionCtx, ArrivingRequest) -> F + Send + Sync + 'static,
    ) -> HttpRoute
    where
        F: Future<Output = Result<HttpResponse>> + Send + 'static,
    {
        HttpRoute::new_arriving(method, Place::Prefix(prefix.to_string()), body)
    }

    fn new<F>(
        method: Method,
        place: Place,
        body: impl Fn(HttpActionCtx, HttpRequest) -> F + Send + Sync + 'static,
    ) -> HttpRoute
    where
        F: Future<Output = Result<HttpResponse>> + Send + 'static,
    {
        let body = Arc::new(body);
        let body = move |ctx: HttpActionCtx, request: ArrivingRequest| -> BoxFuture<_> {
            let body = body.clone();
            Box::pin(async move { body(ctx, request.whole().await?).await })
        };
        HttpRoute {
            method,
            place,
            body: RouteBody::Native {
                body: Arc::new(body),
                takes_whole: true,
            },
        }
    }

    fn new_arriving<F>(
        method: Method,
        place: Place,
        body: impl Fn(HttpActionCtx, ArrivingRequest) -> F + Send + Sync + 'static,
    ) -> HttpRoute
    where
        F: Future<Output = Result<HttpResponse>> + Send + 'static,
    {
        let body = move |ctx: HttpActionCtx, request: ArrivingRequest| -> BoxFuture<_> {
            Box::pin(body(ctx, request))
        };
        HttpRoute {
            method,
            place,
            body: RouteBody::Native {
                body: Arc::new(body),
                takes_whole: false,
            },
        }
    }

    /// A route of the router that was pushed; none where its method is not one.
    pub(super) fn pushed(route: &PushedRoute, router: Arc<dyn PushedRouter>) -> Option<HttpRoute> {
        let place = match route.path.strip_suffix('*') {
            Some(prefix) if prefix.ends_with('/') => Place::Prefix(prefix.to_owned()),
            _ => Place::Path(route.path.clone()),
        };
        Some(HttpRoute {
            method: route.method.parse().ok()?,
            place,
            body: RouteBody::Pushed(router),
        })
    }

    /// The paths beyond the routes that a pushed router lists: its `lookup` may know more.
    pub(super) fn rest(router: Arc<dyn PushedRouter>) -> HttpRoute {
        HttpRoute {
            method: Method::GET,
            place: Place::Rest,
            body: RouteBody::Pushed(router),
        }
    }

    fn label(&self) -> String {
        match self.place {
            Place::Rest => "* *".to_owned(),
            Place::Path(_) | Place::Prefix(_) => format!("{} {}", self.method, self.place),
        }
    }

    /// The fault of the route by itself.
    fn problem(&self) -> Option<&'static str> {
        let text = match &self.place {
            Place::Path(text) | Place::Prefix(text) => text,
            Place::Rest => return None,
        };
        if !METHODS.contains(&self.method) {
            return Some("has a method other than GET, POST, PUT, DELETE, OPTIONS and PATCH");
        }
        if !text.starts_with('/') {
            return Some("must begin with `/`");
        }
        if matches!(self.place, Place::Prefix(_)) && !text.ends_with('/') {
            return Some("must end with `/`, since it is a prefix");
        }
        match text.chars().all(is_of_a_path) {
            true => None,
            false => Some(
                "holds something that no path of a request holds; percent-encode what is meant literally, \
                 and take a prefix for whatever varies",
            ),
        }
    }
}

/// Whether a path may hold it as it stands. A star is left out: it is meant as a pattern, which it is not.
fn is_of_a_path(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "/-._~!$&'()+,;=:@%".contains(letter)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Path(path) => f.write_str(path),
            Place::Prefix(prefix) => write!(f, "{prefix}*"),
            Place::Rest => f.write_str("*"),
        }
    }
}

impl HttpRoutes {
    /// The routes, checked.
    pub(super) fn new(routes: Vec<HttpRoute>) -> Result<HttpRoutes, RegistryError> {
        let mut registered: Vec<Arc<RegisteredRoute>> = Vec::with_capacity(routes.len());
        for route in routes {
            let label = route.label();
            if let Some(problem) = route.problem() {
                return Err(RegistryError::HttpRoute { label, problem });
            }
            if registered.iter().any(|other| other.label == label) {
                return Err(RegistryError::HttpRouteTwice(label));
            }
            registered.push(Arc::new(RegisteredRoute::new(route)));
        }
        Ok(HttpRoutes::in_order(registered, None))
    }

    fn in_order(
        mut routes: Vec<Arc<RegisteredRoute>>,
        rest: Option<Arc<RegisteredRoute>>,
    ) -> HttpRoutes {
        routes.sort_by_key(|route| match &route.place {
            Place::Path(_) => (0, Reverse(0)),
            Place::Prefix(prefix) => (1, Reverse(prefix.len())),
            Place::Rest => (2, Reverse(0)),
        });
        HttpRoutes { routes, rest }
    }

    /// The same with the routes of a pushed router, which never replace an existing route. The router is asked for the
    /// rest too.
    pub(super) fn with_pushed(&self, pushed: Vec<HttpRoute>) -> HttpRoutes {
        let mut routes = self.routes.clone();
        let mut rest = None;
        for route in pushed {
            if route.place == Place::Rest {
                rest = Some(Arc::new(RegisteredRoute::new(route)));
                continue;
            }
            let label = route.label();
            if !routes.iter().any(|other| other.label == label) {
                routes.push(Arc::new(RegisteredRoute::new(route)));
            }
        }
        HttpRoutes::in_order(routes, rest)
    }

    /// The routes as logs and metrics name them, in no order.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|route| route.label())
    }

    /// The route for `path`: an exact path before a prefix, and the longest prefix before others. Without a route of the
    /// program itself, it is the pushed router.
    pub fn find(&self, method: &Method, path: &str) -> RouteFound {
        let method = match *method {
            Method::HEAD => &Method::GET,
            _ => method,
        };
        if self.routes.is_empty() && self.rest.is_none() {
            return RouteFound::NoRoutes;
        }
        let there = || self.routes.iter().filter(|route| route.place.takes(path));
        if let Some(route) = there().find(|route| route.method == *method) {
            return RouteFound::Route(route.clone());
        }
        let rest = || match &self.rest {
            Some(rest) if METHODS.contains(method) => RouteFound::Route(rest.clone()),
            Some(_) | None => RouteFound::Nothing,
        };
        if there().any(|route| route.is_pushed()) {
            return rest();
        }
        let mut others: Vec<Method> = Vec::new();
        for route in there() {
            if !others.contains(&route.method) {
                others.push(route.method.clone());
            }
        }
        match others.is_empty() {
            true => rest(),
            false => RouteFound::OtherMethods(others),
        }
    }

    /// Goes on with the counts that routes had in `before`.
    pub(super) fn count_on(&mut self, before: &HttpRoutes) {
        for route in self.routes.iter_mut().chain(&mut self.rest) {
            let mut known = before.routes.iter().chain(&before.rest);
            let same = known.find(|known| known.label == route.label);
            if let Some((route, same)) = Arc::get_mut(route).zip(same) {
                route.tally = same.tally.clone();
            }
        }
    }

    /// The runs of each route, in no order.
    pub(super) fn runs(&self) -> impl Iterator<Item = Runs> {
        let routes = self.routes.iter().chain(&self.rest);
        routes.map(|route| route.tally.runs(route.label.clone(), HTTP_ACTION))
    }
}

impl Place {
    fn takes(&self, path: &str) -> bool {
        match self {
            Place::Path(own) => own == path,
            Place::Prefix(prefix) => path.starts_with(prefix),
            Place::Rest => true,
        }
    }
}

impl RegisteredRoute {
    fn new(route: HttpRoute) -> RegisteredRoute {
        RegisteredRoute {
            label: route.label(),
            method: route.method,
            place: route.place,
            body: route.body,
            tally: Arc::default(),
        }
    }

    /// Whether it stands for the paths that no route lists.
    pub fn is_rest(&self) -> bool {
        self.place == Place::Rest
    }

    /// Whether it is asked once the whole request is there.
    pub fn takes_whole(&self) -> bool {
        matches!(self.body, RouteBody::Native { takes_whole, .. } if takes_whole)
    }

    /// The component whose router it is.
    pub(super) fn component(&self) -> &ComponentPath {
        match &self.body {
            RouteBody::Pushed(router) => router.component(),
            RouteBody::Native { .. } => &ComponentPath::ROOT,
        }
    }

    /// Whether it was pushed.
    pub fn is_pushed(&self) -> bool {
        matches!(self.body, RouteBody::Pushed(_))
    }

    /// As logs and metrics name it: `POST /clerk`, `GET /files/*`.
    pub fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn count(&self, is_error: bool) {
        self.tally.count(is_error);
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::functions::action::ActionCtx;
    use crate::functions::error::Thrown;
    use crate::functions::streamed::{AtEnd, StreamedRequest, StreamedResponse};

    fn at(method: Method, path: &str) -> HttpRoute {
        HttpRoute::path(method, path, async |_, _| {
            Ok(HttpResponse::empty(StatusCode::OK))
        })
    }

    fn below(method: Method, prefix: &str) -> HttpRoute {
        HttpRoute::path_prefix(method, prefix, async |_, _| {
            Ok(HttpResponse::empty(StatusCode::OK))
        })
    }

    fn found(routes: &HttpRoutes, method: Method, path: &str) -> String {
        match routes.find(&method, path) {
            RouteFound::Route(route) => route.label().to_string(),
            RouteFound::OtherMethods(others) => format!("{others:?}"),
            RouteFound::Nothing => "nothing".to_string(),
            RouteFound::NoRoutes => "no routes".to_string(),
        }
    }

    #[test]
    fn an_exact_path_comes_first_and_then_the_longest_prefix() {
        let routes = HttpRoutes::new(vec![
            below(Method::GET, "/"),
            below(Method::GET, "/files/"),
            below(Method::GET, "/files/private/"),
            at(Method::GET, "/files/private/mine"),
            at(Method::POST, "/files/private/mine"),
            at(Method::POST, "/clerk"),
        ])
        .unwrap();
        for (method, path, expected) in [
            (
                Method::GET,
                "/files/private/mine",
                "GET /files/private/mine",
            ),
            (
                Method::HEAD,
                "/files/private/mine",
                "GET /files/private/mine",
            ),
            (
                Method::POST,
                "/files/private/mine",
                "POST /files/private/mine",
            ),
            (Method::GET, "/files/private/yours", "GET /files/private/*"),
            (Method::GET, "/files/private/", "GET /files/private/*"),
            (Method::GET, "/files/private", "GET /files/*"),
            (Method::GET, "/files", "GET /*"),
            (Method::GET, "/clerk", "GET /*"),
            (Method::POST, "/clerk", "POST /clerk"),
            (Method::POST, "/clerk/", "[GET]"),
            (Method::DELETE, "/clerk", "[POST, GET]"),
        ] {
            assert_eq!(
                found(&routes, method.clone(), path),
                expected,
                "{method} {path}"
            );
        }
        let one = HttpRoutes::new(vec![at(Method::POST, "/clerk")]).unwrap();
        assert_eq!(found(&one, Method::GET, "/clerk"), "[POST]");
        assert_eq!(found(&one, Method::POST, "/"), "nothing");
        let none = HttpRoutes::default();
        assert_eq!(found(&none, Method::GET, "/"), "no routes");
    }

    #[test]
    fn the_pushed_router_is_asked_where_the_program_has_no_route() {
        struct Silent;
        impl PushedRouter for Silent {
            fn component(&self) -> &ComponentPath {
                &ComponentPath::ROOT
            }

            fn answer(
                self: Arc<Self>,
                _: ActionCtx,
                _: Option<Thrown>,
                _: StreamedRequest,
                _: AtEnd,
            ) -> BoxFuture<Result<StreamedResponse>> {
                unreachable!("nobody asks")
            }
        }
        let router = Arc::new(Silent);
        let listed = PushedRoute {
            path: "/listed".to_owned(),
            method: "GET".to_owned(),
        };
        let pushed = || {
            let listed = HttpRoute::pushed(&listed, router.clone()).unwrap();
            vec![listed, HttpRoute::rest(router.clone())]
        };
        let native = HttpRoutes::new(vec![at(Method::POST, "/clerk")]).unwrap();
        let both = native.with_pushed(pushed());
        for (method, path, expected) in [
            (Method::GET, "/listed", "GET /listed"),
            (Method::POST, "/listed", "* *"),
            (Method::GET, "/users/7", "* *"),
            (Method::HEAD, "/users/7", "* *"),
            (Method::TRACE, "/users/7", "nothing"),
            (Method::POST, "/clerk", "POST /clerk"),
            (Method::GET, "/clerk", "[POST]"),
        ] {
            let found = found(&both, method.clone(), path);
            assert_eq!(found, expected, "{method} {path}");
        }
        let alone = HttpRoutes::default().with_pushed(pushed());
        assert_eq!(found(&alone, Method::GET, "/"), "* *");
        assert_eq!(alone.runs().count(), 2);
    }

    #[test]
    fn a_route_that_could_never_be_asked_for_is_refused() {
        for (route, expected) in [
            (at(Method::GET, "clerk"), "`GET clerk` must begin with `/`"),
            (at(Method::GET, ""), "`GET ` must begin with `/`"),
            (
                below(Method::GET, "/files"),
                "`GET /files*` must end with `/`",
            ),
            (at(Method::GET, "/users/{id}"), "holds something"),
            (at(Method::GET, "/files/*"), "holds something"),
            (at(Method::GET, "/a?b=c"), "holds something"),
            (at(Method::GET, "/é"), "holds something"),
            (at(Method::HEAD, "/x"), "has a method other than GET"),
            (at(Method::CONNECT, "/x"), "has a method other than GET"),
        ] {
            let refused = HttpRoutes::new(vec![route]).err().unwrap().to_string();
            assert!(refused.contains(expected), "{refused}");
        }
    }

    #[test]
    fn a_route_that_is_taken_is_refused() {
        for twice in [
            [at(Method::GET, "/x"), at(Method::GET, "/x")],
            [below(Method::GET, "/x/"), below(Method::GET, "/x/")],
        ] {
            let refused = HttpRoutes::new(twice.to_vec()).err().unwrap().to_string();
            assert!(refused.contains("registered twice"), "{refused}");
        }
        let apart = [
            at(Method::GET, "/x/"),
            below(Method::GET, "/x/"),
            at(Method::PUT, "/x/"),
        ];
        assert!(HttpRoutes::new(apart.to_vec()).is_ok());
    }
}
