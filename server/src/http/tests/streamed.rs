//! HTTP actions in JavaScript: which takes what, and bodies that arrive while they run.

use reqwest::{Body, Method};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::actions::{post, status, with};
use super::harness::{Server, Setup, answer, json_of};
use crate::functions::js::tests::world::World;
use crate::http::bind;

/// A router as the package makes one, and what it leads to.
const ROUTER: &str = r#"
const base = () => process.env.BASE;
const tell = async (request) => Response.json({
  method: request.method,
  url: request.url,
  body: request.body === null ? null : await request.text(),
  own: request.headers.get("x-own"),
});
const convexError = () => {
  const error = new Error("full");
  error.data = '{"code":"FULL"}';
  error.ConvexErrorSymbol = Symbol.for("ConvexError");
  error[error.ConvexErrorSymbol] = true;
  throw error;
};
const events = (next) => new Response(
  new ReadableStream({ pull: (controller) => next(controller) }),
  { headers: { "content-type": "text/event-stream" } },
);
const encode = (text) => new TextEncoder().encode(text);
const routes = {
  "GET /hello": async () => new Response("hello"),
  "GET /cookies": async () => new Response("set", {
    status: 201, headers: [["set-cookie", "a=1"], ["set-cookie", "b=2"], ["x-own", "\xe9"]],
  }),
  // Listed as routers with patterns list it, and found by `lookup` alone.
  "GET /users/:id": async () => new Response("a user"),
  "GET /nothing": async () => new Response(null, { status: 204 }),
  "GET /pre/exact": async () => new Response("exact"),
  "GET /throws": async () => { throw new TypeError("no way"); },
  "GET /refuses": async () => convexError(),
  "GET /text": async () => "text",
  "GET /identity": async () => {
    try {
      const identity = JSON.parse(await Convex.asyncSyscall("1.0/getUserIdentity", '{"requestId":""}'));
      return Response.json(identity && identity.subject);
    } catch (error) {
      return new Response(error.message, { status: 401 });
    }
  },
  "GET /asks": async () => Response.json(await Convex.asyncSyscall("1.0/actions/query",
    JSON.stringify({ name: "users:me", args: {}, version: "1", requestId: "" }))),
  "GET /request": async () =>
    new Response(await Convex.asyncSyscall("1.0/getRequestMetadata", "{}")),
  "GET /.well-known/openid-configuration": async () => new Response("the app's own"),
  "GET /events": async () => {
    let sent = 0;
    return events(async (controller) => {
      if (sent === 1) await fetch(base() + "/released");
      if (sent === 2) return controller.close();
      controller.enqueue(encode(`data: ${++sent}\n\n`));
    });
  },
  "GET /breaks": async () => {
    let sent = 0;
    return events((controller) => {
      if (sent++ > 0) throw new Error("torn");
      controller.enqueue(encode("first"));
    });
  },
  "GET /onward": async () => new Response((await fetch(base() + "/held")).body),
  "GET /large": async () => {
    let sent = 0;
    return events((controller) => {
      if (++sent > 21) return controller.close();
      controller.enqueue(new Uint8Array(1 << 20));
    });
  },
  "GET /waits": async (request) => {
    await fetch(base() + "/enter");
    await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
    await fetch(base() + "/told");
    return new Response("nobody reads this");
  },
  "GET /leaving": async (request) => {
    const gone = new Promise((resolve) => request.signal.addEventListener("abort", resolve));
    let sent = 0;
    return events(async (controller) => {
      if (sent++ === 0) return controller.enqueue(encode("first"));
      await gone;
      await fetch(base() + "/told");
      controller.close();
    });
  },
  "POST /sizes": async (request) => {
    try {
      let bytes = 0;
      for await (const chunk of request.body) bytes += chunk.byteLength;
      return Response.json(bytes);
    } catch (error) {
      return new Response(error.message, { status: 418 });
    }
  },
};
for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
  routes[`${method} /show`] = tell;
  routes[`${method} /pre/*`] = tell;
}
const lookup = (path, method) => {
  const exact = routes[`${method} ${path}`];
  if (exact) return [exact, method, path];
  if (method === "GET" && path.startsWith("/users/")) return [routes["GET /users/:id"], method, "/users/:id"];
  const prefix = path.startsWith("/pre/") && routes[`${method} /pre/*`];
  return prefix ? [prefix, method, "/pre/*"] : null;
};
export default {
  isRouter: true,
  lookup,
  getRoutes: () => Object.keys(routes).map((route) => [route.split(" ")[1], route.split(" ")[0]]),
  async runRequest(text, path) {
    const convexJson = JSON.parse(text);
    const request = Convex.jsSyscall("requestFromConvexJson", { convexJson });
    const response = await routes[`${request.method} ${path}`](request);
    return JSON.stringify(Convex.jsSyscall("convexJsonFromResponse", { response }));
  },
};
"#;

async fn server_with(change: impl FnOnce(&mut Setup)) -> (Server, World) {
    let world = World::start().await;
    let server = with(|setup| {
        setup.router = Some((ROUTER, world.url()));
        change(setup);
    });
    (server.await, world)
}

async fn server() -> (Server, World) {
    server_with(|_| {}).await
}

// ---- which takes what --------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_reaches_its_route_with_the_request_as_it_was_sent() {
    let (server, _world) = server().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        for path in ["/show", "/pre/a%2Fb/"] {
            let method: Method = method.parse().unwrap();
            let request = server.ask(method.clone(), &format!("/http{path}?x=1&x=%20"));
            let (status, told) = answer(request.header("x-own", "1").body("sent")).await;
            let has_body = !matches!(method, Method::GET | Method::OPTIONS);
            let expected = json!({
                "method": method.as_str(),
                "url": format!("http://{}{path}?x=1&x=%20", server.address),
                "body": has_body.then_some("sent"),
                "own": "1",
            });
            assert_eq!((status.as_u16(), told), (200, expected));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exact_paths_go_before_prefixes_and_what_no_route_takes_is_not_found() {
    let (server, _world) = server().await;
    for (method, path, expected) in [
        ("GET", "/hello", "200 hello"),
        ("HEAD", "/hello", "200 "),
        ("GET", "/pre/exact", "200 exact"),
        ("GET", "/nothing", "204 "),
        ("GET", "/users/7", "200 a user"),
        ("POST", "/users/7", "404 No matching routes found"),
        // A program's own route beside them.
        ("PUT", "/throw", "405 "),
        ("POST", "/hello", "404 No matching routes found"),
        ("GET", "/nowhere", "404 No matching routes found"),
        ("GET", "/pre", "404 No matching routes found"),
        ("HEAD", "/sizes", "404 No matching routes found"),
    ] {
        let request = server.ask(method.parse().unwrap(), &format!("/http{path}"));
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let text = if matches!(method, "HEAD" | "PUT") {
            ""
        } else {
            &text
        };
        let expected = if method == "HEAD" {
            expected.split_inclusive(' ').next().unwrap()
        } else {
            expected
        };
        assert_eq!(format!("{status} {text}"), expected, "{method} {path}");
    }
    assert_eq!(status(server.get("/http/tell")).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_keeps_its_status_and_its_headers() {
    let (server, _world) = server().await;
    let response = server.get("/http/cookies").send().await.unwrap();
    assert_eq!(response.status(), 201);
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(response.headers()["x-own"].as_bytes(), b"\xe9");
    assert_eq!(response.headers()["content-length"], "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_action_throws_is_told_as_far_as_it_may_be() {
    let (server, _world) = server().await;
    let (status, told) = answer(server.get("/http/throws")).await;
    assert_eq!(status, 500);
    let code = told["code"].as_str().unwrap();
    assert!(
        code.ends_with("] Server Error: Uncaught TypeError: no way"),
        "{code}"
    );
    assert!(
        told["trace"].as_str().unwrap().contains("http.js"),
        "{told}"
    );
    let told = answer(server.get("/http/refuses")).await.1;
    assert_eq!(told["data"], json!({ "code": "FULL" }));
    let told = answer(server.get("/http/text")).await.1;
    let trace = told["trace"].as_str().unwrap();
    assert!(
        trace.contains("HTTP actions must return a Response"),
        "{trace}"
    );
    let (server, _world) = server_with(|setup| setup.redact = true).await;
    let told = answer(server.get("/http/refuses")).await.1;
    assert_eq!(told["data"], json!({ "code": "FULL" }));
    assert!(told.get("trace").is_none(), "{told}");
    assert!(
        told["code"].as_str().unwrap().ends_with("] Server Error"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_accepted_stops_only_who_looks() {
    let (server, _world) = server_with(|setup| setup.has_dev_issuer = true).await;
    let nobody = server.get("/http/identity").send().await.unwrap();
    assert_eq!(json_of(nobody).await, Json::Null);
    let token = server.token("ada");
    let ada = server
        .get("/http/identity")
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(json_of(ada).await, "ada");
    let wrong = server
        .get("/http/identity")
        .bearer_auth("a.b.c")
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), 401);
    assert!(!wrong.text().await.unwrap().is_empty());
    let (status_of_query, refused) = answer(server.get("/http/asks").bearer_auth("a.b.c")).await;
    assert_eq!(status_of_query, 401, "{refused}");
    let unseen = server.get("/http/hello").bearer_auth("a.b.c");
    assert_eq!(status(unseen).await, 200);
    let request = server
        .get("/http/request")
        .bearer_auth(&token)
        .header("user-agent", "me");
    let told = answer(request).await.1;
    assert_eq!(
        (&told["ip"], &told["userAgent"]),
        (&json!("127.0.0.1"), &json!("me"))
    );
    assert_eq!(told["authToken"], token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_proxy_that_is_trusted_says_how_it_was_asked() {
    for (is_trusted, expected) in [(false, "http"), (true, "https")] {
        let (server, _world) = server_with(|setup| {
            if is_trusted {
                setup.options.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
            }
        })
        .await;
        let request = server
            .get("/http/pre/x")
            .header("x-forwarded-proto", "https");
        let request = request.header("host", "site.test");
        let told = answer(request).await.1;
        assert_eq!(told["url"], format!("{expected}://site.test/pre/x"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_site_has_the_same_routes_at_its_root() {
    let (server, _world) = server().await;
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let site = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.http.clone().serve_site(listener, stop.clone()));
    for (path, expected) in [
        ("/hello", "200 hello"),
        ("/.well-known/openid-configuration", "200 the app's own"),
        ("/http/hello", "404 No matching routes found"),
        ("/api/query", "404 No matching routes found"),
        ("//hello", "404 No matching routes found"),
    ] {
        let response = reqwest::get(format!("http://{site}{path}")).await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert_eq!(format!("{status} {text}"), expected, "{path}");
    }
    let told = reqwest::get(format!("http://{site}/pre/x")).await.unwrap();
    assert_eq!(json_of(told).await["url"], format!("http://{site}/pre/x"));
    stop.cancel();
    serving.await.unwrap();
}

// ---- bodies that arrive ------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_while_the_action_runs() {
    for path in ["/http/events", "/http/onward"] {
        let (server, world) = server().await;
        let mut response = server.get(path).send().await.unwrap();
        let first = response.chunk().await.unwrap().unwrap();
        assert!(matches!(&first[..], b"data: 1\n\n" | b"one"), "{first:?}");
        world.signs.release.give();
        let second = response.chunk().await.unwrap().unwrap();
        assert!(matches!(&second[..], b"data: 2\n\n" | b"two"), "{second:?}");
        assert!(response.chunk().await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_or_is_too_large_is_cut_and_never_looks_whole() {
    let (server, _world) = server().await;
    for path in ["/http/breaks", "/http/large"] {
        let response = server.get(path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert!(response.bytes().await.is_err(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_arrives_part_by_part_and_is_bounded() {
    let (server, _world) = server_with(|setup| setup.options.action_body_bytes_max = 10_000).await;
    let parts = |count: usize| {
        let parts = (0..count).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 1_000]));
        Body::wrap_stream(futures_util::stream::iter(parts))
    };
    let sizes = |body: Body| post(&server, "/http/sizes", body);
    assert_eq!(answer(sizes(parts(10))).await.1, 10_000.0);
    let long = sizes(parts(11)).send().await.unwrap();
    assert_eq!(long.status(), 418);
    let text = long.text().await.unwrap();
    assert_eq!(text, "The body is longer than 10000 bytes.");
    assert_eq!(status(sizes(Body::from(vec![0; 10_001]))).await, 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_hears_that_its_client_has_gone_and_goes_on() {
    let (server, world) = server().await;
    let waiting = tokio::spawn(server.get("/http/waits").send());
    world.signs.entered.given().await;
    waiting.abort();
    world.signs.told.given().await;
    let mut response = server.get("/http/leaving").send().await.unwrap();
    assert_eq!(&response.chunk().await.unwrap().unwrap()[..], b"first");
    drop(response);
    world.signs.told.given().await;
}
