//! Files that do not arrive as announced, or find no room: nothing of them is left.

use futures_util::StreamExt;

use super::*;

async fn refused(
    rig: &Rig,
    announced: Announced,
    parts: &[&'static str],
    breaks: bool,
) -> FileError {
    let received = rig.files.receive(announced, body(parts, breaks)).await;
    let error = received.unwrap_err();
    assert_eq!(rig.contents(), [""; 0], "{error}");
    error
}

#[tokio::test]
async fn what_does_not_arrive_as_announced_leaves_nothing() {
    let rig = Rig::new();
    let announced = Announced {
        sha256: Some(sha256("hello")),
        ..Announced::default()
    };
    let error = refused(&rig, announced.clone(), &["hel", "l"], false).await;
    assert!(matches!(error, FileError::Sha256Mismatch { .. }), "{error}");
    let error = refused(&rig, announced.clone(), &[], false).await;
    assert!(matches!(error, FileError::Sha256Mismatch { .. }), "{error}");
    let error = refused(&rig, announced.clone(), &["hello"], true).await;
    assert!(matches!(error, FileError::EndedEarly), "{error}");
    let received = rig
        .files
        .receive(announced, body(&["hel", "", "lo"], false));
    assert_eq!(rig.text(received.await.unwrap()).await.unwrap(), "hello");
}

#[tokio::test]
async fn quotas_hold_whether_announced_or_not() {
    let options = FilesOptions {
        file_bytes_max: Some(5),
        total_bytes_max: Some(8),
        ..FilesOptions::default()
    };
    let rig = Rig::with(options, None);
    let of = |bytes| Announced {
        bytes,
        ..Announced::default()
    };
    let error = refused(&rig, of(Some(6)), &[], false).await;
    assert!(matches!(error, FileError::TooLarge { max: 5 }), "{error}");
    let error = refused(&rig, of(None), &["abc", "def"], false).await;
    assert!(matches!(error, FileError::TooLarge { max: 5 }), "{error}");
    let first = rig.store("hello").await;
    let full = rig.files.receive(of(None), body(&["abcd"], false)).await;
    assert!(matches!(full, Err(FileError::QuotaExceeded { max: 8 })));
    assert!(
        rig.files
            .receive(of(None), body(&["abc"], false))
            .await
            .is_ok()
    );
    rig.files.delete_now(first.to_string()).await.unwrap();
    rig.files.remove_deleted().await.unwrap();
    assert!(
        rig.files
            .receive(of(None), body(&["abcde"], false))
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_sender_who_stops_sending_is_not_waited_for() {
    let rig = Rig::new();
    let stalled = body(&["hello"], false).chain(stream::pending());
    let received = rig.files.receive(Announced::default(), stalled).await;
    assert!(matches!(received, Err(FileError::TooSlow(_))));
    assert_eq!(rig.contents(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_sender_who_trickles_ends_in_time() {
    let rig = Rig::new();
    let trickle = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        Some((Ok(Bytes::from_static(b"x")), ()))
    });
    let received = rig.files.receive(Announced::default(), trickle).await;
    assert!(matches!(received, Err(FileError::TooSlow(_))));
}

#[tokio::test]
async fn a_content_type_that_no_header_carries_is_refused() {
    let rig = Rig::new();
    for content_type in ["a\r\nset-cookie: x", "é", &"x".repeat(256)] {
        let stored = rig
            .files
            .store(Bytes::new(), Some(content_type.to_string()), None);
        let stored = stored.await;
        assert!(matches!(stored, Err(FileError::InvalidContentType { .. })));
    }
    assert_eq!(rig.contents(), [""; 0]);
}

#[tokio::test]
async fn more_uploads_than_may_run_are_refused_and_the_rest_goes_on() {
    let options = FilesOptions {
        uploads_max: 1,
        ..FilesOptions::default()
    };
    let rig = Rig::with(options, None);
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let slow = stream::once(async move {
        wait.await.unwrap();
        Ok(Bytes::from_static(b"slow"))
    });
    let files = rig.files.clone();
    let first = tokio::spawn(async move { files.receive(Announced::default(), slow).await });
    while rig.files.uploads.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let second = rig
        .files
        .receive(Announced::default(), body(&["x"], false))
        .await;
    assert!(matches!(second, Err(FileError::TooManyAtOnce)));
    go.send(()).unwrap();
    let id = first.await.unwrap().unwrap();
    assert_eq!(rig.text(id).await.unwrap(), "slow");
}
