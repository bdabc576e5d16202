// Which locales there are: English as three countries write it, and those of which the host has a table.
(() => {
  $.part([], ["locales"], () => {
    const LOCALES = {
      "en-US": { order: "mdy", hour12: true, home: "USD" },
      "en-GB": { order: "dmy", hour12: false, home: "GBP" },
      "en-CA": { order: "ymd", hour12: true, home: "CAD" },
    };
    const TABLED = ["de-DE", "es-ES", "fr-FR", "it-IT", "ja-JP", "nl-NL", "pt-BR", "sv-SE"];
    const ALIASES = { en: "en-US", ...Object.fromEntries(TABLED.map((name) => [name.slice(0, 2), name])) };

    // The table of a locale's numbers and dates; undefined for English, which is written without one.
    const tables = new Map();
    const tableOf = (name) => {
      if (!TABLED.includes(name)) return undefined;
      if (!tables.has(name)) tables.set(name, JSON.parse($.host("intl.table", name)));
      return tables.get(name);
    };

    // The tag of an Intl.Locale.
    const tagOf = (locale) => (typeof locale === "object" && locale !== null ? $.web.localeTag(locale) : undefined);

    // The canonical tags of what was asked for.
    const list = (locales) => {
      if (locales === undefined) return [];
      const isOne = typeof locales === "string" || (!Array.isArray(locales) && tagOf(locales) !== undefined);
      const all = isOne ? [locales] : [...locales];
      return all.map((locale) => {
        const tag = tagOf(locale) ?? locale;
        if (typeof tag !== "string") throw new TypeError("Incorrect locale information provided");
        return $.host("intl.locale", tag);
      });
    };
    const withoutExtension = (tag) => tag.replace(/-u-.*$/, "");
    // Extensions that would change what is written. Dates alone have clocks, and read theirs.
    const OTHERWISE = /-u-(.*-)?(ca-(?!gregory)|nu-(?!latn))/;
    const CLOCK = /-u-(?:.*-)?hc-(h11|h12|h23|h24)(?:-|$)/;
    const known = (tag) => {
      if (OTHERWISE.test(tag)) return undefined;
      const plain = withoutExtension(tag);
      const name = ALIASES[plain] ?? plain;
      return name in LOCALES || TABLED.includes(name) ? name : undefined;
    };

    // The first tag whose language there is. Tags of no language are passed over, as everywhere: "fullwide" is one that
    // programs use.
    const first = (locales) => list(locales).find((tag) => known(tag) !== undefined || $.host("intl.is_language", tag));

    // The locale to format for. One that is not known is refused: a wrong format would go unnoticed.
    const resolve = (locales) => {
      const found = list(locales).map(known).find((name) => name !== undefined);
      if (found !== undefined) return found;
      const tag = first(locales);
      if (tag !== undefined) {
        const all = [...Object.keys(LOCALES), ...TABLED].join(", ");
        throw new RangeError(`The locale ${tag} is not available in this runtime. Use one of ${all}.`);
      }
      return "en-US";
    };
    // The cycle of hours that the locale's tag asks for.
    const clockOf = (locales) => {
      const tag = list(locales).find((tag) => known(tag) !== undefined);
      return tag === undefined ? undefined : CLOCK.exec(tag)?.[1];
    };
    const resolveEnglish = (locales, what) => {
      const name = resolve(locales);
      if (!name.startsWith("en")) throw new RangeError(`${what} is not available in this runtime for ${name}. Use en-US.`);
      return name;
    };

    const choice = (options, name, values, otherwise) => {
      const value = options?.[name];
      if (value === undefined) return otherwise;
      if (!values.includes(`${value}`)) throw new RangeError(`Value ${value} out of range for Intl options property ${name}`);
      return `${value}`;
    };
    const whole = (options, name, least, most, otherwise) => {
      const value = options?.[name];
      if (value === undefined) return otherwise;
      const number = Number(value);
      if (!(number >= least && number <= most)) throw new RangeError(`${name} value is out of range.`);
      return Math.floor(number);
    };
    const unavailable = (what) => {
      throw new RangeError(`${what} is not available in this runtime`);
    };

    return { locales: { LOCALES, tableOf, list, known, first, resolve, clockOf, resolveEnglish, choice, whole, unavailable } };
  });
})();
