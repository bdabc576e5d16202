//! The parts of `Intl` that need data: the order of texts, the time zones, and how languages other than English write
//! numbers and dates. `tests/cli/intl-tables.mjs` makes the tables of those.

use std::cell::RefCell;
use std::cmp::Ordering;

use icu_collator::CollatorBorrowed;
use icu_collator::options::{CaseLevel, CollatorOptions, Strength};
use icu_locale_core::Locale;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::arguments::Arguments;
use super::{Answer, HostError, HostValue, range_error};

pub fn call(name: &str, arguments: &Arguments) -> Option<Answer> {
    Some(match name {
        "compare" => compare(arguments),
        "locale" => locale(arguments),
        "zone" => zone(arguments),
        "zone_name" => zone_name(arguments),
        "table" => table(arguments),
        _ => return None,
    })
}

thread_local! {
    /// The collator that was used last: sorting asks for the same one again and again.
    static LAST: RefCell<Option<(String, CollatorBorrowed<'static>)>> = const { RefCell::new(None) };
}

/// `(left, right, locale with its options, sensitivity)`: -1, 0 or 1.
fn compare(arguments: &Arguments) -> Answer {
    let (left, right) = (arguments.text(0)?, arguments.text(1)?);
    let (locale, sensitivity) = (arguments.text(2)?, arguments.text(3)?);
    let key = format!("{locale} {sensitivity}");
    let order = LAST.with_borrow_mut(|last| {
        if last.as_ref().is_none_or(|(of, _)| *of != key) {
            *last = Some((key, collator(locale, sensitivity)?));
        }
        let (_, collator) = last.as_ref().expect("just set");
        Ok(collator.compare(left, right))
    })?;
    Ok(HostValue::Number(match order {
        Ordering::Less => -1.0,
        Ordering::Equal => 0.0,
        Ordering::Greater => 1.0,
    }))
}

fn collator(locale: &str, sensitivity: &str) -> Result<CollatorBorrowed<'static>, HostError> {
    let mut options = CollatorOptions::default();
    options.strength = Some(match sensitivity {
        "base" | "case" => Strength::Primary,
        "accent" => Strength::Secondary,
        _ => Strength::Tertiary,
    });
    options.case_level = Some(match sensitivity {
        "case" => CaseLevel::On,
        _ => CaseLevel::Off,
    });
    let locale = parsed(locale)?;
    CollatorBorrowed::try_new((&locale).into(), options)
        .map_err(|_| range_error(format!("Incorrect locale information provided: {locale}")))
}

macro_rules! tables {
    ($($locale:literal),*) => {
        &[$(($locale, include_str!(concat!("locales/", $locale, ".json")))),*]
    };
}

/// The table of each locale that has one, as JSON.
const TABLES: &[(&str, &str)] = tables![
    "de-DE", "es-ES", "fr-FR", "it-IT", "ja-JP", "nl-NL", "pt-BR", "sv-SE"
];

/// `(locale)`: its table.
fn table(arguments: &Arguments) -> Answer {
    let locale = arguments.text(0)?;
    let table = TABLES.iter().find(|(name, _)| *name == locale);
    let missing = || range_error(format!("The locale {locale} has no table"));
    let (_, text) = table.ok_or_else(missing)?;
    Ok(HostValue::String((*text).to_owned()))
}

/// `(tag)`: the tag as it is written canonically.
fn locale(arguments: &Arguments) -> Answer {
    Ok(HostValue::String(parsed(arguments.text(0)?)?.to_string()))
}

fn parsed(tag: &str) -> Result<Locale, HostError> {
    Locale::try_from_str(tag)
        .map_err(|_| range_error(format!("Incorrect locale information provided: {tag}")))
}

/// `(time zone, milliseconds since 1970)`: its offset from UTC in seconds, its abbreviation and whether it is summer time.
fn zone(arguments: &Arguments) -> Answer {
    let zone = time_zone(arguments.text(0)?)?;
    let timestamp = Timestamp::from_millisecond(arguments.number(1)? as i64)
        .map_err(|_| range_error("Invalid time value"))?;
    let info = zone.to_offset_info(timestamp);
    let text = format!(
        "{} {} {}",
        info.offset().seconds(),
        info.abbreviation(),
        u8::from(info.dst().is_dst())
    );
    Ok(HostValue::String(text))
}

/// `(time zone)`: its name as it is written canonically.
fn zone_name(arguments: &Arguments) -> Answer {
    let name = arguments.text(0)?;
    if name.eq_ignore_ascii_case("utc") {
        return Ok(HostValue::String("UTC".to_owned()));
    }
    let zone = time_zone(name)?;
    Ok(HostValue::String(
        zone.iana_name().unwrap_or(name).to_owned(),
    ))
}

fn time_zone(name: &str) -> Result<TimeZone, HostError> {
    TimeZone::get(name).map_err(|_| range_error(format!("Invalid time zone specified: {name}")))
}
