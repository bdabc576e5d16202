//! Tests of cron jobs: what is read, and every refusal with its text.

use serde_json::json;

use super::*;

fn one(schedule: Json) -> Result<Schedule, CronError> {
    let text = json!({"job": {"name": "rooms:tidy", "args": [{}], "schedule": schedule}});
    Cron::all_from_json(&text.to_string()).map(|crons| crons[0].schedule.clone())
}

#[track_caller]
fn refused(schedule: Json, text: &str) {
    assert_eq!(one(schedule).unwrap_err().to_string(), text);
}

#[test]
fn each_kind_of_schedule_is_read() {
    let cases = [
        (
            json!({"type": "interval", "seconds": 30}),
            Schedule::Interval { seconds: 30 },
        ),
        (
            json!({"type": "interval", "hours": 2}),
            Schedule::Interval { seconds: 7_200 },
        ),
        (json!({"type": "hourly"}), Schedule::Hourly { minute: None }),
        (
            json!({"type": "hourly", "minuteUTC": 7}),
            Schedule::Hourly { minute: Some(7) },
        ),
        (
            json!({"type": "daily", "hourUTC": 5, "minuteUTC": 0}),
            Schedule::Daily {
                hour: 5,
                minute: Some(0),
            },
        ),
        (
            json!({"type": "weekly", "dayOfWeek": "tuesday", "hourUTC": 5}),
            Schedule::Weekly {
                weekday: 2,
                hour: 5,
                minute: None,
            },
        ),
        (
            json!({"type": "monthly", "day": 31, "hourUTC": 23}),
            Schedule::Monthly {
                day: 31,
                hour: 23,
                minute: None,
            },
        ),
    ];
    for (json, schedule) in cases {
        assert_eq!(one(json).unwrap(), schedule);
    }
}

#[test]
fn schedules_that_cannot_be_are_refused_with_their_texts() {
    refused(
        json!({"type": "daily", "hourUTC": 24}),
        "hourUTC must be 0-23 in the cron job \"job\"",
    );
    refused(
        json!({"type": "hourly", "minuteUTC": 60}),
        "minuteUTC must be 0-59 in the cron job \"job\"",
    );
    refused(
        json!({"type": "monthly", "day": 0, "hourUTC": 1}),
        "day of month must be 1-31 in the cron job \"job\"",
    );
    refused(
        json!({"type": "cron", "cron": "0 0 30 2 *"}),
        "The cron spec \"0 0 30 2 *\" will never match any time",
    );
    refused(
        json!({"type": "interval", "seconds": 1, "hours": 1}),
        "Invalid schedule of the cron job \"job\": Must specify one of seconds, minutes, or hours",
    );
    refused(
        json!({"type": "interval", "seconds": 0.5}),
        "Invalid schedule of the cron job \"job\": Interval must be an integer greater than 0",
    );
    for schedule in [
        json!(null),
        json!({}),
        json!({"type": "yearly"}),
        json!({"type": "cron"}),
    ] {
        assert!(one(schedule).is_err());
    }
}

#[test]
fn a_job_has_its_function_and_arguments() {
    let text = json!({
        "b": {"name": "rooms:tidy", "args": [{"n": {"$integer": "AQAAAAAAAAA="}}], "schedule": {"type": "hourly"}},
        "a": {"name": "rooms", "schedule": {"type": "hourly"}},
    });
    let crons = Cron::all_from_json(&text.to_string()).unwrap();
    assert_eq!(crons[0].name, "a");
    assert_eq!(crons[0].args_json(), json!([{}]));
    assert_eq!(crons[1].args["n"], Value::Int64(1));
    assert_eq!(crons[1].to_json()["spec"]["udfPath"], "rooms.js:tidy");
    for bad in [
        "[]",
        "",
        r#"{"a":{"name":"x y:z"}}"#,
        r#"{"é":{"name":"a:b"}}"#,
    ] {
        assert!(Cron::all_from_json(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_expression_matches_what_cron_matches() {
    let every_ten = CronExpression::parse("*/10 * * * *").unwrap();
    let minutes: Vec<u8> = (0..60).filter(|m| every_ten.matches_minute(*m)).collect();
    assert_eq!(minutes, [0, 10, 20, 30, 40, 50]);
    let workdays = CronExpression::parse("0 9-17/4 * jan,6 MON-fri").unwrap();
    assert!(workdays.matches_hour(13) && !workdays.matches_hour(14));
    assert!(workdays.matches_day(6, 30, 1) && !workdays.matches_day(7, 1, 1));
    assert!(!workdays.matches_day(1, 1, 0));
    let either = CronExpression::parse("0 0 13 * 5").unwrap();
    assert!(either.matches_day(2, 13, 1) && either.matches_day(2, 1, 5));
    assert!(!either.matches_day(2, 1, 1));
    let sunday = CronExpression::parse("0 0 * * 7").unwrap();
    assert!(sunday.matches_day(1, 1, 0) && !sunday.matches_day(1, 1, 6));
    assert_eq!(sunday.text(), "0 0 * * 7");
}

#[test]
fn an_expression_with_a_mistake_is_refused() {
    for text in [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "5-1 * * * *",
        "*/0 * * * *",
        "a * * * *",
    ] {
        assert!(CronExpression::parse(text).is_err(), "{text}");
    }
    for text in ["0 0 31 4,6,9 *", "0 0 30 feb *"] {
        let never = CronExpressionError::Never(text.to_owned());
        assert_eq!(CronExpression::parse(text), Err(never));
    }
    assert!(CronExpression::parse("0 0 29 2 *").is_ok());
    assert!(CronExpression::parse("0 0 30 2 1").is_ok());
}
