//! Identities that pass without a run, identities that are no people, and the gate's complaints.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use vestibule_schema::object;
use vestibule_schema::timestamp::Timestamp;

use super::{Checks, Setup, nobodys, person, rig, rig_with, verified};
use crate::auth::{IdentityAccess, VerifiedUser};
use crate::provisioning::Unprovisioned;

#[tokio::test]
async fn whoever_was_let_in_is_known_until_something_that_was_read_changes() {
    let rig = rig();
    let ada = person("ada", "Ada");
    assert!(rig.gate.admit_known(&ada).is_none());
    let opened = rig.gate.admit(&ada).await.unwrap();
    rig.news_is_out().await;
    let known = rig.gate.admit_known(&ada).unwrap();
    assert!(known.proof().unwrap().committed_at() >= opened.proof().unwrap().committed_at());
    // A claim that the function does not look at makes no difference; one that it looks at does.
    let claims = object! { "name" => "Ada", "picture" => "https://pictures.test/2" };
    let pictured = verified("ada", claims);
    let caller = rig.gate.admit_known(&pictured).unwrap();
    assert_eq!(
        caller.identity(),
        IdentityAccess::Known(Some(&pictured.identity))
    );
    assert!(rig.gate.admit_known(&person("ada", "Ada L.")).is_none());
    // Nor does another identity's document.
    rig.gate.admit(&person("bob", "Bob")).await.unwrap();
    rig.news_is_out().await;
    assert!(rig.gate.admit_known(&ada).is_some());
    assert_eq!(rig.metric("gate_known_total"), "3");
    // The document's own change does: the next request finds out whether the user is still there.
    let deleted = rig.functions.mutate(nobodys("users:deleteAll")).await;
    deleted.unwrap();
    assert!(rig.gate.admit_known(&ada).is_none());
    rig.gate.admit(&ada).await.unwrap();
    assert_eq!(rig.writes(), 3);
}

#[tokio::test]
async fn machines_pass_without_a_user() {
    let rig = rig();
    let robot = VerifiedUser {
        needs_provisioning: false,
        provider_gone: Default::default(),
        ..person("robot", "Robot")
    };
    let caller = rig.gate.admit(&robot).await.unwrap();
    assert_eq!(caller.proof().unwrap().committed_at(), Timestamp::ZERO);
    assert_eq!(
        caller.identity(),
        IdentityAccess::Known(Some(&robot.identity))
    );
    assert_eq!(rig.writes(), 0);
}

#[tokio::test]
async fn j1_no_more_people_come_for_the_first_time_than_may_and_known_users_always() {
    let rig = rig_with(Setup {
        first_logins_per_minute: NonZeroU32::new(2),
        ..Setup::default()
    });
    let (ada, bob) = (person("ada", "Ada"), person("bob", "Bob"));
    rig.gate.admit(&ada).await.unwrap();
    rig.gate.admit(&bob).await.unwrap();
    let too_many = rig.gate.admit(&person("eve", "Eve")).await;
    let reason = "too many first logins in this minute".to_string();
    assert_eq!(too_many.unwrap_err(), Unprovisioned::Failed { reason });
    rig.live.forget_idle();
    rig.gate.admit(&ada).await.unwrap();
    rig.gate.admit(&bob).await.unwrap();
    assert_eq!(rig.writes(), 2);
}

#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn in_development_a_provisioning_function_that_does_not_do_its_work_is_complained_about() {
    let checks = Checks {
        has_user: Some("users:exists".parse().unwrap()),
    };
    let rig = rig_with(Setup {
        checks: Some(checks),
        ..Setup::default()
    });
    let log = Collected::default();
    let writer = log.clone();
    let collected = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let _collecting = tracing::subscriber::set_default(collected);
    let said_for = async |subject: &str| {
        rig.gate.admit(&person(subject, "P")).await.unwrap();
        String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap()
    };
    assert_eq!(said_for("ada").await, "");
    let careless = said_for("careless").await;
    assert!(careless.contains("left no user document"), "{careless}");
    assert!(!careless.contains("writes again"), "{careless}");
    let restless = said_for("restless").await;
    assert!(restless.contains("writes again"), "{restless}");
    assert!(!restless.contains("left no user document"), "{restless}");
}
