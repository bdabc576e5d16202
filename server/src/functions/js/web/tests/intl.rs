//! Texts for people: numbers, dates, order.

use super::check;

#[test]
fn numbers_dates_and_order_are_those_of_english() {
    check(
        "query",
        &[
            (
                r#"[(1234.5).toLocaleString(), (1e6).toLocaleString("en-US"), (0.256).toLocaleString(undefined, { style: "percent" }), (1234.5).toLocaleString("en-US", { style: "currency", currency: "USD" }), 12345678901234567890n.toLocaleString(), (1.005).toLocaleString("en-US", { maximumFractionDigits: 2 }), (1536).toLocaleString("en-US", { notation: "compact" })]"#,
                r#"["1,234.5","1,000,000","26%","$1,234.50","12,345,678,901,234,567,890","1.01","1.5K"]"#,
            ),
            (
                r#"const d = new Date(Date.UTC(2024, 6, 5, 3, 4, 9)); return [d.toLocaleString(), d.toLocaleDateString(), d.toLocaleTimeString(), d.toLocaleDateString("en-US", { weekday: "long", year: "numeric", month: "long", day: "numeric" }), d.toLocaleString("en-US", { timeZone: "America/New_York", timeZoneName: "short" }), d.toLocaleDateString("en-GB"), d.toLocaleDateString("en-CA", { timeZone: "America/Los_Angeles" }), d.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })];"#,
                r#"["7/5/2024, 3:04:09 AM","7/5/2024","3:04:09 AM","Friday, July 5, 2024","7/4/2024, 11:04:09 PM EDT","05/07/2024","2024-07-04","03:04 AM"]"#,
            ),
            (
                r#"["b", "a", "Z", "é", "e", "_", "1"].sort((a, b) => a.localeCompare(b))"#,
                r#"["_","1","a","b","e","é","Z"]"#,
            ),
            (
                r#"["a10", "a9", "A1"].sort(new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare)"#,
                r#"["A1","a9","a10"]"#,
            ),
            (
                r#"["ä", "z", "a"].sort((a, b) => a.localeCompare(b, "sv"))"#,
                r#"["a","z","ä"]"#,
            ),
            (
                r#"(1).toLocaleString("pl-PL")"#,
                "RangeError: The locale pl-PL is not available in this runtime. Use one of en-US, en-GB, en-CA, de-DE, es-ES, fr-FR, it-IT, ja-JP, nl-NL, pt-BR, sv-SE.",
            ),
            (
                r#"new Date(0).toLocaleDateString("th-TH-u-ca-buddhist")"#,
                "RangeError: The locale th-TH-u-ca-buddhist is not available in this runtime. Use one of en-US, en-GB, en-CA, de-DE, es-ES, fr-FR, it-IT, ja-JP, nl-NL, pt-BR, sv-SE.",
            ),
            (
                r#"new Date(0).toLocaleString("en-US", { timeZone: "Mars/Base" })"#,
                "RangeError: Invalid time zone specified: Mars/Base",
            ),
            ("Intl.DateTimeFormat().resolvedOptions().timeZone", "UTC"),
            (
                r#"new Intl.DateTimeFormat("en-US", { hour: "numeric", minute: "2-digit", timeZone: "asia/tokyo" }).formatToParts(0)"#,
                r#"[{"type":"hour","value":"9"},{"type":"literal","value":":"},{"type":"minute","value":"00"},{"type":"literal","value":" "},{"type":"dayPeriod","value":"AM"}]"#,
            ),
            (
                r#"[new Intl.PluralRules("en").select(1), new Intl.PluralRules("en", { type: "ordinal" }).select(22), new Intl.ListFormat("en").format(["a", "b", "c"]), new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(-1, "day"), new Intl.RelativeTimeFormat("en").format(3, "hours")]"#,
                r#"["one","two","a, b, and c","yesterday","in 3 hours"]"#,
            ),
            (
                r#"const shown = (n, unit, unitDisplay) => new Intl.NumberFormat("en-US", { style: "unit", unit, unitDisplay }).format(n); return [shown(1, "day", "long"), shown(30, "hour", "long"), shown(1, "week"), shown(2, "month"), shown(2, "day"), shown(2, "foot", "long"), shown(3, "microsecond"), shown(9, "mile-per-hour")];"#,
                r#"["1 day","30 hours","1 wk","2 mths","2 days","2 feet","3 μs","9 mph"]"#,
            ),
            (
                r#"const named = (timeZone, month) => new Intl.DateTimeFormat("en-US", { timeZone, timeZoneName: "long" }).formatToParts(Date.UTC(2024, month)).at(-1).value; return [named("Europe/Paris", 0), named("Europe/Athens", 6), named("Europe/London", 6), named("Asia/Kolkata", 0), named("Australia/Sydney", 0), named("Pacific/Auckland", 6)];"#,
                r#"["Central European Standard Time","Eastern European Summer Time","British Summer Time","India Standard Time","Australian Eastern Daylight Time","New Zealand Standard Time"]"#,
            ),
            (
                r#"const day = (month, date, hour = 12) => Date.UTC(2024, month, date, hour); const range = (options, end) => new Intl.DateTimeFormat("en-US", { timeZone: "UTC", ...options }).formatRange(day(2, 10), end).replaceAll(/[\u2009\u202f]/g, " "); const medium = { dateStyle: "medium" }; return [range({}, day(2, 12)), range(medium, day(2, 12)), range(medium, day(4, 9)), range(medium, day(14, 9)), range({ month: "long", day: "numeric" }, day(2, 12)), range({ year: "numeric", month: "short" }, day(4, 1)), range({ hour: "numeric", minute: "2-digit" }, day(2, 10, 13)), range(medium, day(2, 10, 14)), range({ year: "numeric" }, day(14, 1))];"#,
                r#"["3/10/2024 – 3/12/2024","Mar 10 – 12, 2024","Mar 10 – May 9, 2024","Mar 10, 2024 – Mar 9, 2025","March 10 – 12","Mar – May 2024","12:00 – 1:00 PM","Mar 10, 2024","2024 – 2025"]"#,
            ),
            (
                r#"new Intl.DateTimeFormat("en-US", { dateStyle: "short", timeStyle: "short" }).formatRange(0, 1e6)"#,
                "RangeError: A range of this form is not available in this runtime",
            ),
            (
                r#"new Intl.Segmenter("en", { granularity: "word" }).segment("a b")"#,
                "RangeError: Intl.Segmenter is not available in this runtime",
            ),
            (
                r#"new Intl.Segmenter("en", { granularity: "letter" })"#,
                "RangeError: Value letter out of range for Intl options property granularity",
            ),
            (
                r#"const fields = { timeZone: "UTC", era: "short", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" }; return [new Intl.DateTimeFormat("en-u-hc-h23", fields).format(0), new Intl.DateTimeFormat("en-US-u-hc-h23", { timeZone: "UTC", hourCycle: "h12", timeStyle: undefined, hour: "numeric", minute: "numeric" }).format(0), new Intl.DateTimeFormat(["xx", "en-GB-u-hc-h12"], { timeZone: "UTC", timeStyle: "short" }).format(0), (5000).toLocaleString("en-u-hc-h23")];"#,
                r#"["1/1/1970 AD, 00:00:00","12:00 AM","12:00 am","5,000"]"#,
            ),
            (
                r#"const made = new Intl.DateTimeFormat("en-US-u-ca-buddhist"); const refused = (work) => { try { return work(); } catch (error) { return error.name; } }; return [refused(() => made.format(0)), refused(() => made.formatToParts(0)), refused(() => made.formatRange(0, 1)), refused(() => made.resolvedOptions())];"#,
                r#"["RangeError","RangeError","RangeError","RangeError"]"#,
            ),
            (
                r#"const at = (locale, options, time = Date.UTC(2024, 10, 28, 0, 7)) => new Date(time).toLocaleString(locale, { timeZone: "UTC", ...options }); const clock = { hour: "numeric", minute: "2-digit" }; return [at("en-US", { hour12: false }), at("en-CA", { ...clock, hour12: false }), at("en-US", { ...clock, hourCycle: "h24" }), at("en-GB", { ...clock, weekday: "short" }), at("en-GB", { ...clock, timeZoneName: "short" }), at("en-US", { weekday: "short", hour: "numeric" }), at("en-US", { timeZone: "Etc/GMT", timeZoneName: "short", hour: "numeric" }), at("en-US", { timeZoneName: "longOffset", hour: "numeric" }), at("en-US", { dateStyle: "short" }, Date.UTC(-4, 5, 1)), at("en-GB", { era: "short" }), new Intl.DateTimeFormat("en-US", { hour: "numeric", hour12: false, timeZone: "gmt" }).resolvedOptions()];"#,
                r#"["11/28/2024, 00:07:00","00:07","24:07","Thu 00:07","00:07 UTC","Thu, 12 AM","12 AM UTC","12 AM GMT","6/1/05","28/11/2024 AD, 00:07:00",{"locale":"en-US","calendar":"gregory","numberingSystem":"latn","timeZone":"UTC","hourCycle":"h23","hour12":false,"hour":"numeric"}]"#,
            ),
            (
                r#"[(1234.5).toLocaleString("en-US", { notation: "compact", compactDisplay: "long", style: "currency", currency: "USD" }), new Intl.ListFormat("en", { style: "narrow" }).format(["a", "b"]), new Intl.RelativeTimeFormat("en").formatToParts(-1000, "days")]"#,
                r#"["$1.2K","a, b",[{"type":"integer","value":"1","unit":"day"},{"type":"group","value":",","unit":"day"},{"type":"integer","value":"000","unit":"day"},{"type":"literal","value":" days ago"}]]"#,
            ),
            (
                r#"(1234.5).toLocaleString("en-US", { maximumFractionDigits: 2, maximumSignificantDigits: 2, roundingPriority: "morePrecision" })"#,
                "RangeError: The roundingPriority \"morePrecision\" is not available in this runtime",
            ),
            (
                r#"[(1e21).toLocaleString("fullwide", { useGrouping: false }), (5).toLocaleString("xx"), new Date(0).toLocaleDateString(["xx", "en-GB"]), Intl.getCanonicalLocales("fullWide")]"#,
                r#"["1000000000000000000000","5","01/01/1970",["fullwide"]]"#,
            ),
            (
                r#"[(5).toLocaleString(["pl", "en-US"]), (5).toLocaleString("und"), "a".localeCompare("b", "fullwide"), new Intl.Collator("fullwide").resolvedOptions().locale]"#,
                r#"["5","5",-1,"en-US"]"#,
            ),
            (
                r#"const calendar = (tag, options) => { const l = new Intl.Locale(tag, options); return [l.calendar, `${l}`, l.baseName]; }; return [calendar("en-t-fr-u-ca-gregory"), calendar("en-t-fr-u-ca-gregory", { calendar: "roc" }), calendar("en-x-own", { calendar: "roc" }), calendar("en-u-foo-ca-roc", { numeric: true })];"#,
                r#"[["gregory","en-t-fr-u-ca-gregory","en"],["roc","en-t-fr-u-ca-roc","en"],["roc","en-u-ca-roc-x-own","en"],["roc","en-u-foo-ca-roc-kn","en"]]"#,
            ),
            (
                r#"(5).toLocaleString(["pl", "ru"])"#,
                "RangeError: The locale pl is not available in this runtime. Use one of en-US, en-GB, en-CA, de-DE, es-ES, fr-FR, it-IT, ja-JP, nl-NL, pt-BR, sv-SE.",
            ),
            (
                r#"return ["pl", "ar", "ru", "fr"].map((l) => { const rules = new Intl.PluralRules(l); return [[0, 1, 2, 5, 1.5].map((n) => rules.select(n)).join(" "), rules.resolvedOptions().pluralCategories.join(" ")].join(": "); }).concat(new Intl.PluralRules("pl", { minimumFractionDigits: 1 }).select(1), JSON.stringify(new Intl.PluralRules("cy", { type: "ordinal" }).resolvedOptions()), new Intl.PluralRules("xx").select(1), new Intl.PluralRules("ru").select(-Infinity))"#,
                r#"["many one few many other: few many one other","zero one two few other: few many one two zero other","many one few many other: few many one other","one one other other one: many one other","other","{\"locale\":\"cy\",\"type\":\"ordinal\",\"minimumIntegerDigits\":1,\"minimumFractionDigits\":0,\"maximumFractionDigits\":3,\"pluralCategories\":[\"few\",\"many\",\"one\",\"two\",\"zero\",\"other\"],\"roundingIncrement\":1,\"roundingMode\":\"halfExpand\",\"roundingPriority\":\"auto\",\"trailingZeroDisplay\":\"auto\"}","one","other"]"#,
            ),
            (
                r#"const l = new Intl.Locale("zh-hant-tw-u-ca-buddhist-nu-latn-hc-h12-co-stroke-kn-kf-upper"); return [l.language, l.script, l.region, l.baseName, l.calendar, l.collation, l.hourCycle, l.numeric, l.numberingSystem, l.caseFirst, `${l}`, `${new Intl.Locale("en-US", { hourCycle: "h23", calendar: "gregory" })}`, `${new Intl.Locale("en").maximize()}`, `${new Intl.Locale("en-Latn-US").minimize()}`, new Intl.Locale("zh").maximize().script, `${new Intl.Locale("en", { region: "GB", script: "Latn", language: "de" })}`, Object.prototype.toString.call(l), new Intl.Locale("en").numeric, new Intl.Locale("en").calendar ?? null, `${new Intl.Locale(l)}` === `${l}`, new Intl.DateTimeFormat(new Intl.Locale("en-GB")).format(0), Intl.getCanonicalLocales([new Intl.Locale("EN-us")])];"#,
                r#"["zh","Hant","TW","zh-Hant-TW","buddhist","stroke","h12",true,"latn","upper","zh-Hant-TW-u-ca-buddhist-co-stroke-hc-h12-kf-upper-kn-nu-latn","en-US-u-ca-gregory-hc-h23","en-Latn-US","en","Hans","de-Latn-GB","[object Intl.Locale]",false,null,true,"01/01/1970",["en-US"]]"#,
            ),
            (
                r#"const refused = (work) => { try { return work(); } catch (error) { return `${error.name}: ${error.message}`; } }; return [() => new Intl.Locale("x"), () => new Intl.Locale(), () => new Intl.Locale("en", { hourCycle: "h9" }), () => new Intl.Locale("en", { region: "Europe" }), () => Intl.Locale("en")].map(refused).map((text) => text.slice(0, 44));"#,
                r#"["RangeError: Incorrect locale information pro","TypeError: First argument to Intl.Locale con","RangeError: Value h9 out of range for Intl o","RangeError: Incorrect locale information pro","TypeError: class constructors must be invoke"]"#,
            ),
            (
                r#"const iso = (options) => new Intl.DateTimeFormat("en-US", { calendar: "iso8601", timeZone: "UTC", ...options }); const fields = { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric", hourCycle: "h23" }; const saka = (text) => new Date(text).toLocaleDateString("en-US-u-ca-indian", { timeZone: "UTC" }); return [iso().format(0), iso({ ...fields, era: "short" }).format(0), iso().resolvedOptions().calendar, saka("0000-01-01T00:00Z"), saka("1970-01-01T00:00Z"), saka("2024-03-25T00:00Z"), saka("2023-03-22T00:00Z"), saka("2024-03-20T00:00Z")];"#,
                r#"["1970-01-01"," 1970-01-01, 00:00:00","iso8601","10/11/-79 Śaka","10/11/1891 Śaka","1/5/1946 Śaka","1/1/1945 Śaka","12/30/1945 Śaka"]"#,
            ),
            (
                r#"new Intl.DateTimeFormat("en-US", { calendar: "iso8601", dateStyle: "full" })"#,
                "RangeError: The calendar \"iso8601\" is not available in this runtime",
            ),
            (
                r#"const zones = Intl.supportedValuesOf("timeZone"); return [zones.includes("America/New_York"), zones.includes("UTC"), zones.some((zone) => zone.startsWith("Etc/")), zones.length > 400, (12345).toLocaleString("en-US", { useGrouping: 0 })];"#,
                r#"[true,true,false,true,"12345"]"#,
            ),
            (
                r#"Intl.supportedValuesOf("currency")"#,
                "RangeError: Intl.supportedValuesOf(\"currency\") is not available in this runtime",
            ),
            (
                r#"new Intl.DateTimeFormat("en-US", { second: "numeric", fractionalSecondDigits: 3, timeZone: "UTC" }).format(1234)"#,
                "1.234",
            ),
            ("new Date(NaN).toLocaleDateString()", "Invalid Date"),
            (
                r#"[Intl.getCanonicalLocales("EN-us"), Intl.NumberFormat.supportedLocalesOf(["en-US", "de", "pl", "en-US-u-nu-arab"])]"#,
                r#"[["en-US"],["en-US","de"]]"#,
            ),
        ],
    );
}

/// Tables give what Node.js 22 gives; forms without a row are refused. `tests/cli/apps/abi` compares many more.
#[test]
fn languages_with_a_table_are_written_as_others_write_them() {
    check(
        "query",
        &[
            (
                r#"const d = new Date(Date.UTC(2024, 10, 8, 9, 7, 5)); return ["de-DE", "fr", "es-ES", "pt-BR", "ja-JP"].map((l) => [d.toLocaleString(l), d.toLocaleDateString(l, { dateStyle: "full" }), (1234.5).toLocaleString(l), (-12345.5).toLocaleString(l, { style: "currency", currency: "EUR" })].join(" | ").replaceAll(/[\u00a0\u202f]/g, "~"));"#,
                r#"["8.11.2024, 09:07:05 | Freitag, 8. November 2024 | 1.234,5 | -12.345,50~€","08/11/2024 09:07:05 | vendredi 8 novembre 2024 | 1~234,5 | -12~345,50~€","8/11/2024, 9:07:05 | viernes, 8 de noviembre de 2024 | 1234,5 | -12.345,50~€","08/11/2024, 09:07:05 | sexta-feira, 8 de novembro de 2024 | 1.234,5 | -€~12.345,50","2024/11/8 9:07:05 | 2024年11月8日金曜日 | 1,234.5 | -€12,345.50"]"#,
            ),
            (
                r#"return [() => (1).toLocaleString("de-DE", { notation: "compact" }), () => (1).toLocaleString("it", { style: "currency", currency: "XAF" }), () => new Date(0).toLocaleString("fr-FR", { timeZoneName: "short" }), () => new Date(0).toLocaleString("nl-NL", { weekday: "short", hour: "numeric" }), () => new Date(0).toLocaleTimeString("sv-SE", { timeStyle: "full" }), () => new Date(0).toLocaleDateString("de", { month: "narrow" })].map((f) => { try { return f(); } catch (error) { return error.name; } });"#,
                r#"["RangeError","RangeError","RangeError","RangeError","RangeError","RangeError"]"#,
            ),
        ],
    );
}
