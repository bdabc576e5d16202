// Intl itself, and the methods of Number, Date, String and BigInt that go through it.
(() => {
  const define = (target, methods) => {
    for (const [name, value] of Object.entries(methods)) {
      Object.defineProperty(target, name, { value, writable: true, enumerable: false, configurable: true });
    }
  };
  const SENSITIVITIES = ["base", "accent", "case", "variant"];

  // Compares two texts in the order of a locale: `options` are Intl.Collator's.
  const compareWith = (locales, options) => {
    const { first, choice, unavailable } = $.web.locales;
    const sensitivity = choice(options, "sensitivity", SENSITIVITIES, "variant");
    if (options?.ignorePunctuation) unavailable("The option ignorePunctuation");
    let locale = first(locales) ?? "en-US";
    if (!locale.includes("-u-")) {
      const caseFirst = choice(options, "caseFirst", ["upper", "lower", "false"], "false");
      const keys = `${caseFirst === "false" ? "" : `-kf-${caseFirst}`}${options?.numeric ? "-kn" : ""}`;
      if (keys !== "") locale += `-u${keys}`;
    }
    return (left, right) => $.host("intl.compare", $.text(left), $.text(right), locale, sensitivity);
  };

  define(String.prototype, {
    localeCompare(that, locales, options) {
      if (this === undefined || this === null) throw new TypeError("String.prototype.localeCompare called on null or undefined");
      const [left, right] = [`${this}`, `${that}`];
      if (left === right) return 0;
      if (locales !== undefined || options !== undefined) return compareWith(locales, options)(left, right);
      return $.host("intl.compare", $.text(left), $.text(right), "en-US", "variant");
    },
    toLocaleUpperCase(locales) {
      refuseTurkic(locales);
      return `${this}`.toUpperCase();
    },
    toLocaleLowerCase(locales) {
      refuseTurkic(locales);
      return `${this}`.toLowerCase();
    },
  });
  const refuseTurkic = (locales) => {
    if (locales === undefined) return;
    const [first] = $.web.locales.list(locales);
    if (/^(tr|az|lt)\b/.test(first ?? "")) $.web.locales.unavailable(`Letter case of ${first}`);
  };

  define(Number.prototype, {
    toLocaleString(locales, options) {
      return new $.web.NumberFormat(locales, options).format(Number.prototype.valueOf.call(this));
    },
  });
  define(BigInt.prototype, {
    toLocaleString(locales, options) {
      return new $.web.NumberFormat(locales, options).format(BigInt.prototype.valueOf.call(this));
    },
  });

  const dateText = (date, locales, options, needs, adds) => {
    const at = Date.prototype.getTime.call(date);
    if (Number.isNaN(at)) return "Invalid Date";
    return new $.web.DateTimeFormat(locales, options, $.secret, needs, adds).format(at);
  };
  define(Date.prototype, {
    toLocaleString(locales, options) {
      return dateText(this, locales, options, "any", "all");
    },
    toLocaleDateString(locales, options) {
      return dateText(this, locales, options, "date", "date");
    },
    toLocaleTimeString(locales, options) {
      return dateText(this, locales, options, "time", "time");
    },
  });

  $.part(["Intl"], [], () => {
    const { list, known, resolveEnglish, choice, unavailable } = $.web.locales;

    class Collator {
      #options;
      #locale;
      #compare;
      constructor(locales, options = {}) {
        this.#locale = $.web.locales.first(locales) ?? "en-US";
        this.#compare = compareWith(locales, options);
        this.#options = {
          usage: choice(options, "usage", ["sort", "search"], "sort"),
          sensitivity: choice(options, "sensitivity", SENSITIVITIES, "variant"),
          ignorePunctuation: false,
          collation: "default",
          numeric: Boolean(options?.numeric),
          caseFirst: choice(options, "caseFirst", ["upper", "lower", "false"], "false"),
        };
      }
      get compare() {
        return this.#compare;
      }
      resolvedOptions() {
        return { locale: this.#locale, ...this.#options };
      }
      static supportedLocalesOf(locales) {
        return list(locales);
      }
    }

    // Of every language: the host has the rules.
    class PluralRules {
      #locale;
      #type;
      #numbers;
      constructor(locales, options = {}) {
        this.#locale = $.web.locales.first(locales) ?? "en-US";
        this.#type = choice(options, "type", ["cardinal", "ordinal"], "cardinal");
        this.#numbers = new $.web.NumberFormat("en-US", { ...options, style: "decimal", notation: "standard", useGrouping: false });
      }
      select(value) {
        const number = Number(value);
        if (!Number.isFinite(number)) return "other";
        return $.host("intl.plural", this.#locale, this.#type, this.#numbers.format(Math.abs(number)));
      }
      resolvedOptions() {
        const { roundingMode, trailingZeroDisplay, ...numbers } = this.#numbers.resolvedOptions();
        const digits = Object.entries(numbers).filter(([name]) => name.endsWith("Digits"));
        return {
          locale: this.#locale,
          type: this.#type,
          ...Object.fromEntries(digits),
          pluralCategories: $.host("intl.plural_categories", this.#locale, this.#type).split(" "),
          roundingIncrement: 1,
          roundingMode,
          roundingPriority: "auto",
          trailingZeroDisplay,
        };
      }
      static supportedLocalesOf(locales) {
        return list(locales).filter((tag) => $.host("intl.is_language", tag));
      }
    }

    class ListFormat {
      #locale;
      #type;
      #style;
      constructor(locales, options = {}) {
        this.#locale = resolveEnglish(locales, "Intl.ListFormat");
        this.#type = choice(options, "type", ["conjunction", "disjunction", "unit"], "conjunction");
        this.#style = choice(options, "style", ["long", "short", "narrow"], "long");
        if (this.#type === "unit" && this.#style === "narrow") unavailable("A narrow list of units");
      }
      formatToParts(values) {
        const items = [...values].map((value) => ({ type: "element", value: `${value}` }));
        const isUnit = this.#type === "unit";
        const word = isUnit ? "" : this.#type === "disjunction" ? "or " : this.#style === "long" ? "and " : "& ";
        const tail = this.#locale === "en-GB" ? ` ${word}` : `, ${word}`;
        const isBare = isUnit || (this.#type === "conjunction" && this.#style === "narrow");
        const [pair, last] = isBare ? [", ", ", "] : [` ${word}`, tail];
        const joint = (at) => (at < items.length - 1 ? ", " : items.length === 2 ? pair : last);
        return items.flatMap((item, at) => (at === 0 ? [item] : [{ type: "literal", value: joint(at) }, item]));
      }
      format(values) {
        return this.formatToParts(values)
          .map((part) => part.value)
          .join("");
      }
      resolvedOptions() {
        return { locale: this.#locale, type: this.#type, style: this.#style };
      }
    }

    const RELATIVE_UNITS = ["second", "minute", "hour", "day", "week", "month", "quarter", "year"];
    const CLOSE = {
      second: { 0: "now" },
      minute: { 0: "this minute" },
      hour: { 0: "this hour" },
      day: { 0: "today", 1: "tomorrow", "-1": "yesterday" },
    };
    for (const unit of ["week", "month", "quarter", "year"]) CLOSE[unit] = { 0: `this ${unit}`, 1: `next ${unit}`, "-1": `last ${unit}` };

    class RelativeTimeFormat {
      #locale;
      #numeric;
      #numbers;
      constructor(locales, options = {}) {
        this.#locale = resolveEnglish(locales, "Intl.RelativeTimeFormat");
        this.#numeric = choice(options, "numeric", ["always", "auto"], "always");
        if (choice(options, "style", ["long", "short", "narrow"], "long") !== "long") unavailable("A short relative time");
        this.#numbers = new $.web.NumberFormat(locales);
      }
      formatToParts(value, givenUnit) {
        const unit = `${givenUnit}`.replace(/s$/, "");
        if (!RELATIVE_UNITS.includes(unit)) throw new RangeError(`Invalid unit argument for format() '${givenUnit}'`);
        const number = Number(value);
        if (!Number.isFinite(number)) throw new RangeError("Invalid number value");
        const literal = (text) => ({ type: "literal", value: text });
        const close = this.#numeric === "auto" ? CLOSE[unit][number] : undefined;
        if (close !== undefined) return [literal(close)];
        const amount = this.#numbers.formatToParts(Math.abs(number)).map((part) => ({ ...part, unit }));
        const name = amount.length === 1 && amount[0].value === "1" ? unit : `${unit}s`;
        if (number < 0 || Object.is(number, -0)) return [...amount, literal(` ${name} ago`)];
        return [literal("in "), ...amount, literal(` ${name}`)];
      }
      format(value, unit) {
        return this.formatToParts(value, unit)
          .map((part) => part.value)
          .join("");
      }
      resolvedOptions() {
        return { locale: this.#locale, style: "long", numeric: this.#numeric, numberingSystem: "latn" };
      }
    }

    // Intl's constructors that formatters share can be called without `new`.
    const callable = (Class, name) => {
      const make = { [name]: function (locales, options) { return Reflect.construct(Class, [locales, options], new.target ?? make); } }[name];
      make.prototype = Class.prototype;
      Object.defineProperty(Class.prototype, "constructor", { value: make, writable: true, configurable: true });
      make.supportedLocalesOf = Class.supportedLocalesOf;
      return make;
    };

    const Intl = {
      Collator: callable(Collator, "Collator"),
      DateTimeFormat: callable($.web.DateTimeFormat, "DateTimeFormat"),
      NumberFormat: callable($.web.NumberFormat, "NumberFormat"),
      ListFormat,
      PluralRules,
      RelativeTimeFormat,
      getCanonicalLocales: (locales) => list(locales),
      supportedValuesOf: (key) => (`${key}` === "timeZone" ? $.host("intl.zones").split(" ") : unavailable(`Intl.supportedValuesOf("${key}")`)),
    };
    for (const Class of [ListFormat, RelativeTimeFormat]) {
      Class.supportedLocalesOf = (locales) => list(locales).filter((tag) => known(tag)?.startsWith("en"));
    }
    // Libraries make one where they are loaded, for texts that may never come.
    class Segmenter {
      constructor(locales, options) {
        list(locales);
        choice(options, "granularity", ["grapheme", "word", "sentence"], "grapheme");
      }
      segment() {
        unavailable("Intl.Segmenter");
      }
      resolvedOptions() {
        unavailable("Intl.Segmenter");
      }
      static supportedLocalesOf(locales) {
        list(locales);
        return [];
      }
    }
    Object.defineProperty(Segmenter, "length", { value: 0, configurable: true });
    $.tag(Segmenter, "Intl.Segmenter");
    Intl.Segmenter = Segmenter;
    Intl.Locale = $.web.IntlLocale;
    for (const name of ["DisplayNames", "DurationFormat"]) {
      Intl[name] = { [name]: function () { unavailable(`Intl.${name}`); } }[name];
    }
    for (const name of Object.keys(Intl)) Object.defineProperty(Intl, name, { enumerable: false });
    Object.defineProperty(Intl, Symbol.toStringTag, { value: "Intl", configurable: true });
    return { Intl };
  });
})();
