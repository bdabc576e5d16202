//! The operations by themselves.

use super::super::{Answer, HostValue, call};

fn run(op: &str, mut arguments: Vec<HostValue>) -> Answer {
    call(op, &mut arguments).unwrap()
}

fn text(value: &str) -> HostValue {
    HostValue::String(value.to_owned())
}

#[test]
fn an_address_is_its_text_and_where_its_parts_are() {
    let parts = run(
        "url.parse",
        vec![text("HTTPS://u:p@Exa%6Dple.com:8080/a?b#c")],
    )
    .unwrap();
    let expected = "https://u:p@example.com:8080/a?b#c\nhttps://example.com:8080\n\
                    5 8 9 10 11 12 23 24 28 28 30 32";
    assert_eq!(parts, text(expected));
    assert_eq!(
        run("url.parse", vec![text("nonsense")]),
        Ok(HostValue::Null)
    );
}

#[test]
fn texts_are_ordered_as_people_order_them() {
    let order = |left, right, sensitivity| {
        let arguments = vec![text(left), text(right), text("en-US"), text(sensitivity)];
        run("intl.compare", arguments).unwrap()
    };
    assert_eq!(order("a", "B", "variant"), HostValue::Number(-1.0));
    assert_eq!(order("é", "f", "variant"), HostValue::Number(-1.0));
    assert_eq!(order("a", "A", "variant"), HostValue::Number(-1.0));
    assert_eq!(order("a", "Á", "base"), HostValue::Number(0.0));
}
