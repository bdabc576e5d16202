//! Numbers as people read them: three digits that matter, thousands apart, bytes in binary units.

use super::{Figure, Usage};

/// The sign for a missing number.
pub const NONE: &str = "–";

/// A number with at least three digits that matter and its thousands apart, such as `251,034`, `11.6` or `0.12`.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let magnitude = value.abs();
    // The limits are where rounding to the next column would otherwise gain a digit.
    let decimals = match magnitude {
        0.0 => 0,
        _ if magnitude < 0.001 => return format!("{value:.1e}"),
        _ if magnitude < 0.0995 => 3,
        _ if magnitude < 9.995 => 2,
        _ if magnitude < 99.95 => 1,
        _ => 0,
    };
    let digits = format!("{magnitude:.decimals$}");
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let mut text = String::new();
    if value < 0.0 {
        text.push('−');
    }
    for (position, digit) in whole.chars().enumerate() {
        if position > 0 && (whole.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

/// A count with its thousands apart, exactly.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes, such as `9.80 KiB`.
pub fn bytes(value: f64) -> String {
    let mut value = value;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value.abs() < 1023.5 {
            return format!("{} {unit}", number(value));
        }
        value /= 1024.0;
    }
    format!("{} TiB", number(value))
}

/// A number on an axis, such as `50k` or `0.2`.
pub fn tick(value: f64) -> String {
    let short = |value: f64, unit: &str| {
        let text = format!("{value:.3}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        format!("{text}{unit}")
    };
    match value.abs() {
        magnitude if magnitude >= 1e9 => short(value / 1e9, "G"),
        magnitude if magnitude >= 1e6 => short(value / 1e6, "M"),
        magnitude if magnitude >= 1e3 => short(value / 1e3, "k"),
        _ => short(value, ""),
    }
}

/// A ratio, such as `115×`.
pub fn ratio(value: f64) -> String {
    format!("{}×", number(value))
}

/// A figure with its unit.
pub fn figure(figure: &Figure) -> String {
    match figure.unit.as_str() {
        "bytes" => bytes(figure.value),
        "" if figure.value.fract() == 0.0 && figure.value >= 0.0 => count(figure.value as u64),
        "" => number(figure.value),
        unit => format!("{} {unit}", number(figure.value)),
    }
}

/// How many cores a process kept busy.
pub fn cores(usage: &Usage, seconds: f64) -> String {
    if seconds <= 0.0 {
        return NONE.to_owned();
    }
    let cores = (usage.user_cpu_seconds + usage.system_cpu_seconds) / seconds;
    format!("{cores:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits_that_matter() {
        let cases = [
            (0.0, "0"),
            (0.000_012, "1.2e-5"),
            (0.012_34, "0.012"),
            (0.1234, "0.12"),
            (9.996, "10.0"),
            (12.345, "12.3"),
            (99.96, "100"),
            (999.4, "999"),
            (1_234.5, "1,234"),
            (251_034.0, "251,034"),
            (-1_234_567.0, "−1,234,567"),
            (f64::NAN, "–"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn bytes_and_ticks_name_their_magnitude() {
        assert_eq!(bytes(512.0), "512 B");
        assert_eq!(bytes(10_035.2), "9.80 KiB");
        assert_eq!(bytes(3.5 * 1024.0 * 1024.0), "3.50 MiB");
        assert_eq!(bytes(2e13), "18.2 TiB");
        assert_eq!(tick(250_000.0), "250k");
        assert_eq!(tick(1_500_000.0), "1.5M");
        assert_eq!(tick(0.2), "0.2");
        assert_eq!(tick(0.0), "0");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(7), "7");
    }
}
