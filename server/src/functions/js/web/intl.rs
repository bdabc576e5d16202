//! The parts of `Intl` that need data: the order of texts, the time zones, and how languages other than English write
//! numbers and dates. `tests/cli/intl-tables.mjs` makes the tables of those.

use std::cell::RefCell;
use std::cmp::Ordering;

use fixed_decimal::Decimal;
use icu_collator::CollatorBorrowed;
use icu_collator::options::{CaseLevel, CollatorOptions, Strength};
use icu_locale::{LocaleExpander, TransformResult};
use icu_locale_core::{LanguageIdentifier, Locale};
use icu_plurals::{PluralCategory, PluralRuleType, PluralRules};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::arguments::Arguments;
use super::{Answer, HostError, HostValue, range_error};

pub fn call(name: &str, arguments: &Arguments) -> Option<Answer> {
    Some(match name {
        "compare" => compare(arguments),
        "locale" => locale(arguments),
        "is_language" => is_language(arguments),
        "likely" => likely(arguments),
        "plural" => plural(arguments),
        "plural_categories" => plural_categories(arguments),
        "zone" => zone(arguments),
        "zones" => Ok(HostValue::String(zones())),
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
    let tag = arguments.text(0)?;
    // The tags allow languages of five letters and more. None exists.
    let is_of_no_language = (5..=8).contains(&tag.len()) && is_alphabetic(tag);
    Ok(HostValue::String(match is_of_no_language {
        true => tag.to_ascii_lowercase(),
        false => parsed(tag)?.to_string(),
    }))
}

fn is_alphabetic(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// `(canonical tag)`: whether there are data of its language, with which other engines would write it.
fn is_language(arguments: &Arguments) -> Answer {
    let is_known = Locale::try_from_str(arguments.text(0)?).is_ok_and(|locale| {
        let mut id = LanguageIdentifier::from(locale.id.language);
        id != LanguageIdentifier::UNKNOWN
            && LocaleExpander::new_common().maximize(&mut id) == TransformResult::Modified
    });
    Ok(HostValue::Bool(is_known))
}

/// `(canonical tag, "maximize" or "minimize")`: the tag with its likely script and region, or without them.
fn likely(arguments: &Arguments) -> Answer {
    let tag = arguments.text(0)?;
    let Ok(mut locale) = Locale::try_from_str(tag) else {
        return Ok(HostValue::String(tag.to_owned()));
    };
    let expander = LocaleExpander::new_extended();
    match arguments.text(1)? {
        "maximize" => expander.maximize(&mut locale.id),
        _ => expander.minimize(&mut locale.id),
    };
    Ok(HostValue::String(locale.to_string()))
}

fn plural_rules(arguments: &Arguments) -> Result<PluralRules, HostError> {
    let locale = parsed(arguments.text(0)?)?;
    let kind = match arguments.text(1)? {
        "ordinal" => PluralRuleType::Ordinal,
        _ => PluralRuleType::Cardinal,
    };
    PluralRules::try_new((&locale).into(), kind.into())
        .map_err(|_| range_error(format!("Incorrect locale information provided: {locale}")))
}

/// `(locale, type, number in digits)`: the plural category of the number.
fn plural(arguments: &Arguments) -> Answer {
    let rules = plural_rules(arguments)?;
    let number = Decimal::try_from_str(arguments.text(2)?)
        .map_err(|_| range_error("Invalid number value"))?;
    let category = rules.category_for(&number);
    Ok(HostValue::String(category_name(category).to_owned()))
}

/// `(locale, type)`: the categories that the language has, separated by blanks, in the order of other engines.
fn plural_categories(arguments: &Arguments) -> Answer {
    let rules = plural_rules(arguments)?;
    let mut names: Vec<&str> = rules.categories().map(category_name).collect();
    names.sort_unstable_by_key(|name| (*name == "other", *name));
    Ok(HostValue::String(names.join(" ")))
}

fn category_name(category: PluralCategory) -> &'static str {
    match category {
        PluralCategory::Zero => "zero",
        PluralCategory::One => "one",
        PluralCategory::Two => "two",
        PluralCategory::Few => "few",
        PluralCategory::Many => "many",
        PluralCategory::Other => "other",
    }
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

/// The time zones of places, separated by blanks.
fn zones() -> String {
    let database = jiff::tz::db();
    let names = database.available().map(|name| name.to_string());
    let is_of_a_place = |name: &String| {
        let region = name.split('/').next().unwrap_or_default();
        name.contains('/') && REGIONS.contains(&region)
    };
    let mut names: Vec<String> = names.filter(is_of_a_place).collect();
    names.push("UTC".to_owned());
    names.sort_unstable();
    names.join(" ")
}

const REGIONS: [&str; 10] = [
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
];

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
