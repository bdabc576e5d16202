//! A bug in a route.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::harness::Server;
use crate::http::around::around;

#[tokio::test]
async fn a_panic_in_a_route_is_answered_and_counted_and_ends_nothing_else() {
    let server = Server::start().await;
    let broken = || async {
        assert_eq!(1, 2, "a bug");
        "unreachable"
    };
    let router = Router::new()
        .route("/broken", get(broken))
        .layer(from_fn_with_state(server.http.clone(), around));
    let request = || {
        Request::builder()
            .uri("/broken")
            .body(Body::empty())
            .unwrap()
    };
    for _ in 0..2 {
        let response: Response = TowerToHyperService::new(router.clone())
            .call(request())
            .await
            .unwrap();
        assert_eq!(response.status(), 500);
        let body = to_bytes(response.into_body(), 1_000).await.unwrap();
        assert!(
            body.starts_with(br#"{"code":"InternalServerError""#),
            "{body:?}"
        );
    }
    let metrics = server
        .get("/metrics")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(metrics.contains("http_panics_total 2"), "{metrics}");
    assert!(metrics.contains("http_requests_in_flight 1"), "{metrics}");
}
