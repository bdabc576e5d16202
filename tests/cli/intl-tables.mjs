// Writes the tables by which functions write numbers and dates in languages other than English, from the data of the
// Node.js that runs this: `node intl-tables.mjs`. A form that does not fit into a table is left out, and functions
// refuse it.

import { writeFileSync } from "node:fs";
import path from "node:path";

const LOCALES = ["de-DE", "es-ES", "fr-FR", "it-IT", "ja-JP", "nl-NL", "pt-BR", "sv-SE"];
const FOLDER = path.join(import.meta.dirname, "../../server/src/functions/js/web/locales");
const CURRENCIES = "AED ARS AUD BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR JPY KRW MXN MYR NGN NOK NZD PHP PLN RON RUB SAR SEK SGD THB TRY TWD UAH USD VND ZAR".split(" ");

// The letters of options in the names of patterns, and their values.
const FORMS = { "-": undefined, n: "numeric", 2: "2-digit", s: "short", l: "long" };
const DATE_FIELDS = [["weekday", "-sl"], ["year", "-n2"], ["month", "-n2sl"], ["day", "-n2"]];
const TIME_FIELDS = [["hour", "-n2"], ["minute", "-n2"], ["second", "-n2"]];

/** All options of `fields`, each with its name. */
const combinations = (fields) => {
  let all = [["", {}]];
  for (const [field, letters] of fields) {
    all = all.flatMap(([name, options]) => [...letters].map((letter) => [name + letter, FORMS[letter] === undefined ? options : { ...options, [field]: FORMS[letter] }]));
  }
  return all.slice(1);
};

class Table {
  // Lists of names that patterns point at.
  lists = [];
  #locale;
  constructor(locale) {
    this.#locale = locale;
  }

  #list(names) {
    const text = JSON.stringify(names);
    const at = this.lists.findIndex((list) => JSON.stringify(list) === text);
    return at < 0 ? this.lists.push(names) - 1 : at;
  }

  /** The pattern of a format: its literals, and `{…}` for each field. */
  pattern(options) {
    const format = new Intl.DateTimeFormat(this.#locale, { timeZone: "UTC", ...options });
    const parts = (at) => format.formatToParts(at);
    // All fields of this moment have one digit: the second Sunday of January 2005 at 3:04:05 in the morning.
    const base = Date.UTC(2005, 0, 9, 3, 4, 5);
    const value = (at, index) => parts(at)[index].value;
    return parts(base).map(({ type, value: shown }, index) => {
      if (type === "literal") return shown;
      const named = (moments) => this.#list(moments.map((at) => value(at, index)));
      if (type === "weekday") return `{w${named([9, 10, 11, 12, 13, 14, 15].map((day) => Date.UTC(2005, 0, day, 3, 4, 5)))}}`;
      if (type === "dayPeriod") return `{a${named([3, 15].map((hour) => Date.UTC(2005, 0, 9, hour, 4, 5)))}}`;
      const [, digits, suffix] = /^(\d*)(.*)$/.exec(shown);
      if (type === "month" && (digits === "" || suffix !== "")) return `{m${named([...Array(12).keys()].map((month) => Date.UTC(2005, month, 9, 3, 4, 5)))}}`;
      const letter = { year: "y", month: "M", day: "d", hour: "h", minute: "n", second: "s" }[type];
      const isLong = type === "year" ? digits.length === 2 : digits.length === 2;
      return `{${letter}${isLong ? letter : ""}${suffix}}`;
    }).join("");
  }
}

const datesOf = (locale) => {
  const table = new Table(locale);
  const dates = {};
  const times = {};
  const joints = {};
  const cycle = new Intl.DateTimeFormat(locale, { hour: "numeric", hour12: true }).resolvedOptions().hourCycle;
  const timesOf = combinations(TIME_FIELDS).flatMap(([name, options]) => (options.hour ? [[`h${name}`, { ...options, hourCycle: "h23" }], [`t${name}`, { ...options, hour12: true }]] : [[`h${name}`, options]]));
  for (const [name, options] of timesOf) times[name] = table.pattern(options);
  for (const [name, options] of combinations(DATE_FIELDS)) {
    dates[name] = table.pattern(options);
    const found = new Set(timesOf.map(([time, more]) => {
      const both = table.pattern({ ...options, ...more });
      const isJoined = both.startsWith(dates[name]) && both.endsWith(times[time]) && both.length >= dates[name].length + times[time].length;
      return isJoined ? both.slice(dates[name].length, both.length - times[time].length) : undefined;
    }));
    if (found.size === 1 && !found.has(undefined)) [joints[name]] = found;
  }
  const styles = {};
  for (const style of ["full", "long", "medium", "short"]) styles[style] = table.pattern({ dateStyle: style });
  const timeStyles = {};
  for (const style of ["medium", "short"]) timeStyles[style] = table.pattern({ timeStyle: style });
  const styleJoints = {};
  for (const style of Object.keys(styles)) {
    for (const time of Object.keys(timeStyles)) {
      const both = table.pattern({ dateStyle: style, timeStyle: time });
      const joint = both.slice(styles[style].length, both.length - timeStyles[time].length);
      if (styles[style] + joint + timeStyles[time] !== both) throw new Error(`${locale} joins ${style} and ${time} otherwise`);
      styleJoints[style] = joint;
    }
  }
  // Most dates are joined to their times alike.
  const counts = Object.values(joints).reduce((counts, joint) => counts.set(joint, (counts.get(joint) ?? 0) + 1), new Map());
  const [usual] = [...counts].sort((a, b) => b[1] - a[1])[0];
  const others = {};
  for (const name of Object.keys(dates)) if (joints[name] !== usual) others[name] = joints[name] ?? null;
  return { cycle, dates, times, joint: usual, joints: others, styles, timeStyles, styleJoints, lists: table.lists };
};

const numbersOf = (locale) => {
  const parts = (value, options) => new Intl.NumberFormat(locale, options).formatToParts(value);
  const find = (all, type) => all.find((part) => part.type === type)?.value;
  const long = parts(-1234567.5);
  const around = (all) => {
    const isDigits = ({ type }) => ["integer", "group", "decimal", "fraction", "infinity"].includes(type);
    const [first, last] = [all.findIndex(isDigits), all.findLastIndex(isDigits)];
    const text = (some) => some.map(({ type, value }) => (type === "currency" ? "¤" : type === "minusSign" ? "-" : value)).join("");
    return [text(all.slice(0, first)), text(all.slice(last + 1))];
  };
  const patterns = [];
  const sum = (currency, currencyDisplay) => {
    const options = { style: "currency", currency, currencyDisplay };
    const texts = (one) => [...around(parts(one, options)), ...around(parts(-one, options))];
    // What is no number of digits may stand without a blank.
    const [digits, none] = [texts(1), texts(Infinity)];
    const found = JSON.stringify(digits) === JSON.stringify(none) ? digits : [...digits, ...none];
    const text = JSON.stringify(found);
    const at = patterns.findIndex((pattern) => JSON.stringify(pattern) === text);
    return [find(parts(1, options), "currency"), at < 0 ? patterns.push(found) - 1 : at];
  };
  const currencies = Object.fromEntries(CURRENCIES.map((currency) => [currency, ["symbol", "narrowSymbol", "code"].map((display) => sum(currency, display))]));
  return {
    minus: find(long, "minusSign"),
    decimal: find(long, "decimal"),
    group: find(long, "group"),
    // Digits before the first group mark that a number needs.
    grouped: find(parts(1234), "group") === undefined ? 2 : 1,
    percent: around(parts(1, { style: "percent" }))[1],
    patterns,
    currencies,
  };
};

for (const locale of LOCALES) {
  const table = { numbers: numbersOf(locale), dates: datesOf(locale) };
  const text = JSON.stringify(table);
  writeFileSync(path.join(FOLDER, `${locale}.json`), `${text}\n`);
  console.log(locale, text.length, "bytes;", Object.values(table.dates.joints).filter((joint) => joint === null).length, "dates without times");
}
