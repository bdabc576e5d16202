//! Issuers whose clock is ahead of this server's: who is let in, and what the log says.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::keys::RSA;
use super::tokens::{Draft, Kind};
use super::{NOW_SECONDS, authenticator, clock, code, inline};

#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<u8>>>);

impl io::Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_difference_of_clocks_is_named_once_a_minute() {
    let clock = clock();
    let authenticator = authenticator([inline(Kind::Oidc, &[RSA.jwk("good")])], clock.clone());
    let log = Collected::default();
    let writer = log.clone();
    let collected = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let _collecting = tracing::subscriber::set_default(collected);
    let said = || String::from_utf8(std::mem::take(&mut *log.0.lock())).unwrap();
    // As Clerk makes them, on a clock that is so many seconds ahead.
    let token = |ahead: u64| {
        Draft::of(Kind::Oidc)
            .claim("iat", NOW_SECONDS + ahead)
            .claim("nbf", NOW_SECONDS + ahead - 10)
            .claim("exp", NOW_SECONDS + ahead + 600)
            .signed(&RSA)
    };
    assert_eq!(code(&authenticator, &token(4)).await, "ok");
    assert_eq!(said(), "");
    for ahead in [16, 60, 70] {
        assert_eq!(code(&authenticator, &token(ahead)).await, "ok", "{ahead}");
    }
    let first = said();
    assert!(first.contains("seconds=16"), "{first}");
    assert_eq!(first.lines().count(), 1, "{first}");
    clock.advance(Duration::from_secs(60));
    clock.jump_to(super::NOW);
    assert_eq!(code(&authenticator, &token(71)).await, "Unauthenticated");
    let refused = said();
    assert!(
        refused.contains("seconds=61") && refused.contains("left_out=2"),
        "{refused}"
    );
}
