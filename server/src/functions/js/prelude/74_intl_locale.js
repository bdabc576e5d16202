// Intl.Locale: a tag and its parts.
(() => {
  $.part([], ["IntlLocale", "localeTag"], () => {
    const { choice } = $.web.locales;
    // Extensions by the option that gives each.
    const KEYS = { calendar: "ca", collation: "co", hourCycle: "hc", caseFirst: "kf", numeric: "kn", numberingSystem: "nu" };
    const TYPE = /^[a-z0-9]{3,8}(-[a-z0-9]{3,8})*$/i;
    const incorrect = () => new RangeError("Incorrect locale information provided");

    // A canonical tag in its parts: the extensions of Unicode, of which each has two letters, apart from all others.
    const parse = (tag) => {
      const [base, ...extensions] = tag.split(/(?=-[a-z0-9]-)/i);
      const extension = extensions.find((part) => /^-u-/i.test(part))?.slice(2) ?? "";
      const rest = extensions.filter((part) => !/^-u-/i.test(part));
      const [, language, script, region, variants = ""] = /^([a-z]{2,8})(?:-([a-z]{4}))?(?:-([a-z]{2}|\d{3}))?((?:-[a-z0-9]{4,8})*)$/i.exec(base);
      // What stands before the first key: attributes.
      const [attributes] = /^(-[a-z0-9]{3,8})*/i.exec(extension);
      const keys = {};
      for (const [, key, type = ""] of extension.matchAll(/-([a-z0-9][a-z])((?:-[a-z0-9]{3,8})*)(?=-[a-z0-9]{2}(?:-|$)|$)/gi)) keys[key] = type.slice(1);
      return { language, script, region, variants, attributes, keys, rest };
    };
    const write = ({ language, script, region, variants, attributes, keys, rest }) => {
      const base = [language, script, region].filter(Boolean).join("-") + variants;
      const names = Object.keys(keys).sort();
      const extension = names.map((key) => `-${key}${keys[key] ? `-${keys[key]}` : ""}`).join("");
      const own = `${attributes}${extension}`;
      const all = own === "" ? rest : [...rest.filter((part) => part < "-u"), `-u${own}`, ...rest.filter((part) => part > "-u")];
      return `${base}${all.join("")}`;
    };

    let localeTag;
    class Locale {
      static {
        localeTag = (value) => (#tag in value ? value.#tag : undefined);
      }
      #tag;
      #parts;
      constructor(tag, options) {
        if (typeof tag !== "string" && (typeof tag !== "object" || tag === null)) {
          throw new TypeError("First argument to Intl.Locale constructor can't be empty or missing");
        }
        if (options === null) throw new TypeError("Cannot convert undefined or null to object");
        const parts = parse($.host("intl.locale", (typeof tag === "object" ? localeTag(tag) : undefined) ?? `${tag}`));
        const asked = (name, form) => {
          const value = options?.[name];
          if (value === undefined) return undefined;
          if (!form.test(`${value}`)) throw incorrect();
          return `${value}`;
        };
        parts.language = asked("language", /^([a-z]{2,3}|[a-z]{5,8})$/i) ?? parts.language;
        parts.script = asked("script", /^[a-z]{4}$/i) ?? parts.script;
        parts.region = asked("region", /^([a-z]{2}|\d{3})$/i) ?? parts.region;
        for (const name of ["calendar", "collation", "numberingSystem"]) {
          const type = asked(name, TYPE);
          if (type !== undefined) parts.keys[KEYS[name]] = type;
        }
        const hourCycle = choice(options, "hourCycle", ["h11", "h12", "h23", "h24"]);
        if (hourCycle !== undefined) parts.keys.hc = hourCycle;
        const caseFirst = choice(options, "caseFirst", ["upper", "lower", "false"]);
        if (caseFirst !== undefined) parts.keys.kf = caseFirst;
        if (options?.numeric !== undefined) parts.keys.kn = options.numeric ? "" : "false";
        this.#tag = $.host("intl.locale", write(parts));
        this.#parts = parse(this.#tag);
      }
      get language() {
        return this.#parts.language;
      }
      get script() {
        return this.#parts.script;
      }
      get region() {
        return this.#parts.region;
      }
      get baseName() {
        return write({ ...this.#parts, attributes: "", keys: {}, rest: [] });
      }
      get calendar() {
        return this.#parts.keys.ca;
      }
      get collation() {
        return this.#parts.keys.co;
      }
      get hourCycle() {
        return this.#parts.keys.hc;
      }
      get caseFirst() {
        return this.#parts.keys.kf;
      }
      get numeric() {
        return ["", "true"].includes(this.#parts.keys.kn);
      }
      get numberingSystem() {
        return this.#parts.keys.nu;
      }
      maximize() {
        return this.#likely("maximize");
      }
      minimize() {
        return this.#likely("minimize");
      }
      #likely(how) {
        const { language, script, region } = parse($.host("intl.likely", this.baseName, how));
        return new Locale(write({ ...this.#parts, language, script, region }));
      }
      toString() {
        return this.#tag;
      }
    }
    Object.defineProperty(Locale, "length", { value: 1, configurable: true });
    return { IntlLocale: $.tag(Locale, "Intl.Locale"), localeTag };
  });
})();
