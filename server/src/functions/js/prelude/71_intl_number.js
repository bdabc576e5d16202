// Numbers in English, as Intl.NumberFormat writes them.
(() => {
  $.part([], ["NumberFormat"], () => {
    const { LOCALES, tableOf, resolve, choice, whole, unavailable } = $.web.locales;
    const NBSP = "\u00a0";
    const SYMBOLS = {
      USD: "$",
      EUR: "€",
      GBP: "£",
      JPY: "¥",
      INR: "₹",
      CNY: "CN¥",
      KRW: "₩",
      BRL: "R$",
      CAD: "CA$",
      AUD: "A$",
      MXN: "MX$",
      NZD: "NZ$",
      HKD: "HK$",
      TWD: "NT$",
      ILS: "₪",
      VND: "₫",
      PHP: "₱",
      XAF: "FCFA",
      XOF: "F\u202fCFA",
      XCD: "EC$",
      XPF: "CFPF",
    };
    const NARROW = { CAD: "$", AUD: "$", MXN: "$", NZD: "$", HKD: "$", TWD: "$", XCD: "$", CNY: "¥", RUB: "₽", TRY: "₺", UAH: "₴", NGN: "₦", PLN: "zł", CZK: "Kč", SEK: "kr", NOK: "kr", DKK: "kr" };
    const NAMES = {
      USD: ["US dollar", "US dollars"],
      EUR: ["euro", "euros"],
      GBP: ["British pound", "British pounds"],
      JPY: ["Japanese yen", "Japanese yen"],
      INR: ["Indian rupee", "Indian rupees"],
      CAD: ["Canadian dollar", "Canadian dollars"],
      AUD: ["Australian dollar", "Australian dollars"],
    };
    const NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(" ");
    const THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND".split(" ");
    const UNITS = {
      percent: ["%", "percent", "percent"],
      byte: ["byte", "byte", "bytes"],
      kilobyte: ["kB", "kilobyte", "kilobytes"],
      megabyte: ["MB", "megabyte", "megabytes"],
      gigabyte: ["GB", "gigabyte", "gigabytes"],
      terabyte: ["TB", "terabyte", "terabytes"],
      meter: ["m", "meter", "meters"],
      kilometer: ["km", "kilometer", "kilometers"],
      centimeter: ["cm", "centimeter", "centimeters"],
      mile: ["mi", "mile", "miles"],
      gram: ["g", "gram", "grams"],
      kilogram: ["kg", "kilogram", "kilograms"],
      liter: ["L", "liter", "liters"],
      second: ["sec", "second", "seconds"],
      minute: ["min", "minute", "minutes"],
      hour: ["hr", "hour", "hours"],
      millisecond: ["ms", "millisecond", "milliseconds"],
      microsecond: ["μs", "microsecond", "microseconds"],
      day: ["day", "day", "days", "days"],
      week: ["wk", "week", "weeks", "wks"],
      month: ["mth", "month", "months", "mths"],
      year: ["yr", "year", "years", "yrs"],
      petabyte: ["PB", "petabyte", "petabytes"],
      millimeter: ["mm", "millimeter", "millimeters"],
      inch: ["in", "inch", "inches"],
      foot: ["ft", "foot", "feet"],
      yard: ["yd", "yard", "yards"],
      "kilometer-per-hour": ["km/h", "kilometer per hour", "kilometers per hour"],
      "mile-per-hour": ["mph", "mile per hour", "miles per hour"],
      ounce: ["oz", "ounce", "ounces"],
      pound: ["lb", "pound", "pounds"],
      milliliter: ["mL", "milliliter", "milliliters"],
      degree: ["deg", "degree", "degrees"],
      celsius: ["°C", "degree Celsius", "degrees Celsius"],
      fahrenheit: ["°F", "degree Fahrenheit", "degrees Fahrenheit"],
    };
    const COMPACT = {
      long: ["", "thousand", "million", "billion", "trillion"],
      short: ["", "K", "M", "B", "T"],
      british: ["", "k", "m", "bn", "tn"],
    };
    const COMPACT_STEPS = 4;

    // A number as decimal digits: value = 0.DIGITS × 10^point. Rounds half away from zero, as Intl does.
    class Decimal {
      constructor(digits, point) {
        this.digits = digits.replace(/0+$/, "");
        this.point = this.digits === "" ? 0 : point;
      }
      static of(value) {
        if (typeof value === "bigint") {
          const text = `${value < 0n ? -value : value}`;
          return new Decimal(text === "0" ? "" : text, text.length);
        }
        if (value === 0) return new Decimal("", 0);
        const [mantissa, exponent] = Math.abs(value).toExponential().split("e");
        return new Decimal(mantissa.replace(".", ""), Number(exponent) + 1);
      }
      shifted(by) {
        return new Decimal(this.digits, this.point + by);
      }
      // Keeps `count` of the digits.
      #cut(count) {
        if (count >= this.digits.length) return this;
        if (count < 0) return new Decimal("", 0);
        const kept = this.digits.slice(0, count);
        if (this.digits[count] < "5") return new Decimal(kept, this.point);
        const raised = `${BigInt(`0${kept}`) + 1n}`.padStart(count, "0");
        return new Decimal(raised, this.point + raised.length - count);
      }
      toFraction(most) {
        return this.#cut(this.point + most);
      }
      toSignificant(most) {
        return this.#cut(most);
      }
      get isZero() {
        return this.digits === "";
      }
      get integer() {
        return this.point <= 0 ? "0" : this.digits.slice(0, this.point).padEnd(this.point, "0");
      }
      get fraction() {
        return this.point >= 0 ? this.digits.slice(this.point) : this.digits.padStart(this.digits.length - this.point, "0");
      }
    }

    class NumberFormat {
      #locale;
      // How a language other than English writes numbers.
      #table;
      #options;
      #format;
      constructor(locales, options = {}) {
        if (options === null) throw new TypeError("Intl.NumberFormat: options must not be null");
        this.#locale = resolve(locales);
        this.#table = tableOf(this.#locale)?.numbers;
        this.#options = this.#read(options);
      }
      #read(options) {
        const style = choice(options, "style", ["decimal", "percent", "currency", "unit"], "decimal");
        const notation = choice(options, "notation", ["standard", "compact", "scientific", "engineering"], "standard");
        if (notation !== "standard" && notation !== "compact") unavailable(`The notation "${notation}"`);
        if (options.roundingMode !== undefined && options.roundingMode !== "halfExpand") unavailable(`The roundingMode "${options.roundingMode}"`);
        if (options.roundingIncrement !== undefined && Number(options.roundingIncrement) !== 1) unavailable("A roundingIncrement");
        if (choice(options, "roundingPriority", ["auto", "morePrecision", "lessPrecision"], "auto") !== "auto") {
          unavailable(`The roundingPriority "${options.roundingPriority}"`);
        }
        const read = {
          style,
          notation,
          compactDisplay: choice(options, "compactDisplay", ["short", "long"], "short"),
          signDisplay: choice(options, "signDisplay", ["auto", "never", "always", "exceptZero", "negative"], "auto"),
          minimumIntegerDigits: whole(options, "minimumIntegerDigits", 1, 21, 1),
          useGrouping: groupingOf(options.useGrouping, notation),
          trailingZeroDisplay: choice(options, "trailingZeroDisplay", ["auto", "stripIfInteger"], "auto"),
        };
        if (style === "currency") {
          if (options.currency === undefined) throw new TypeError("Currency code is required with currency style.");
          read.currency = `${options.currency}`.toUpperCase();
          if (!/^[A-Z]{3}$/.test(read.currency)) throw new RangeError(`Invalid currency code : ${options.currency}`);
          read.currencyDisplay = choice(options, "currencyDisplay", ["code", "symbol", "narrowSymbol", "name"], "symbol");
          read.currencySign = choice(options, "currencySign", ["standard", "accounting"], "standard");
          if (read.currencySign === "accounting" && notation === "compact") unavailable("A compact sum of accounting");
        }
        if (style === "unit") {
          if (options.unit === undefined) throw new TypeError("Required unit for unit style.");
          read.unit = `${options.unit}`;
          read.unitDisplay = choice(options, "unitDisplay", ["short", "narrow", "long"], "short");
          if (this.#locale !== "en-US") unavailable(`A unit in ${this.#locale}`);
          if (!(read.unit in UNITS) || read.unitDisplay === "narrow") unavailable(`The unit "${read.unit}" in this form`);
        }
        if (this.#table) this.#checkTable(read);
        return Object.assign(read, digitsOf(options, read));
      }

      // Refuses what the table does not tell.
      #checkTable({ style, notation, currency, currencyDisplay, currencySign }) {
        const refuse = (what) => unavailable(`${what} in ${this.#locale}`);
        if (notation === "compact") refuse("A compact number");
        if (style === "unit") refuse("A unit");
        if (style !== "currency") return;
        if (currencyDisplay === "name") refuse("The name of a currency");
        if (currencySign === "accounting") refuse("A sum of accounting");
        if (!(currency in this.#table.currencies)) refuse(`The currency ${currency}`);
      }

      get format() {
        this.#format ??= (value) =>
          this.formatToParts(value)
            .map((part) => part.value)
            .join("");
        return this.#format;
      }
      formatToParts(value) {
        const number = numeric(value);
        const o = this.#options;
        const isNegative = typeof number === "bigint" ? number < 0n : number < 0 || Object.is(number, -0);
        let parts;
        let isZero = false;
        let suffix = "";
        if (typeof number === "number" && !Number.isFinite(number)) {
          parts = Number.isNaN(number) ? [{ type: "nan", value: "NaN" }] : [{ type: "infinity", value: "∞" }];
        } else {
          let decimal = Decimal.of(number);
          if (o.style === "percent") decimal = decimal.shifted(2);
          let step = 0;
          if (o.notation === "compact") {
            step = stepOf(decimal);
            let scaled = round(decimal.shifted(-3 * step), o);
            if (scaled.point > 3 && step < COMPACT_STEPS) scaled = round(decimal.shifted(-3 * ++step), o);
            decimal = scaled;
          } else decimal = round(decimal, o);
          isZero = decimal.isZero;
          const isLong = o.compactDisplay === "long" && !this.#isSum();
          suffix = COMPACT[isLong ? "long" : this.#locale === "en-GB" ? "british" : "short"][step];
          parts = digitParts(decimal, this.#table?.grouped === 2 && o.useGrouping === "auto" ? { ...o, useGrouping: "min2" } : o);
        }
        if (suffix !== "") {
          if (suffix.length > 2) parts.push({ type: "literal", value: " " });
          parts.push({ type: "compact", value: suffix });
        }
        const dress = this.#table ? this.#dressByTable : this.#dress;
        return dress.call(this, parts, signOf(o.signDisplay, isNegative && !Number.isNaN(number), isZero || Number.isNaN(number)));
      }
      // Sums of money are short in compact form, whatever is asked for, but for those with the currency's name.
      #isSum() {
        return this.#options.style === "currency" && this.#options.currencyDisplay !== "name";
      }
      // Puts sign, currency, percent sign or unit around the digits.
      #dress(parts, sign) {
        const o = this.#options;
        const isOne = /^[0,]*1$/.test(parts.map((part) => part.value).join(""));
        if (o.style === "percent") parts.push({ type: "percentSign", value: "%" });
        if (o.style === "unit") {
          const [short, one, many, shorts = short] = UNITS[o.unit];
          const isLong = o.unitDisplay === "long";
          if (isLong || /^[\wμ]/.test(short)) parts.push({ type: "literal", value: " " });
          const type = short === "%" && !isLong ? "percentSign" : "unit";
          parts.push({ type, value: isLong ? (isOne ? one : many) : isOne ? short : shorts });
        }
        if (o.style === "currency" && o.currencyDisplay === "name") {
          const names = NAMES[o.currency] ?? unavailable(`The name of the currency ${o.currency}`);
          parts.push({ type: "literal", value: " " }, { type: "currency", value: names[isOne ? 0 : 1] });
        } else if (o.style === "currency") {
          const symbol = this.#symbol();
          if (/[A-Za-z]$/.test(symbol) && parts[0].type === "integer") parts.unshift({ type: "literal", value: NBSP });
          parts.unshift({ type: "currency", value: symbol });
        }
        const isAccounting = o.currencySign === "accounting" && o.currencyDisplay !== "name";
        if (sign === "-" && isAccounting) {
          return [{ type: "literal", value: "(" }, ...parts, { type: "literal", value: ")" }];
        }
        if (sign !== "") parts.unshift({ type: sign === "-" ? "minusSign" : "plusSign", value: sign });
        return parts;
      }
      #dressByTable(given, sign) {
        const { minus, decimal, group, percent, patterns, currencies } = this.#table;
        const { style, currency, currencyDisplay } = this.#options;
        const own = { decimal, group };
        const parts = given.map(({ type, value }) => ({ type, value: own[type] ?? value }));
        const signPart = { type: sign === "-" ? "minusSign" : "plusSign", value: sign === "-" ? minus : sign };
        if (style === "currency") {
          const form = ["symbol", "narrowSymbol", "code"].indexOf(currencyDisplay);
          const [symbol, at] = currencies[currency][form];
          const pattern = patterns[at];
          const forms = pattern.length > 4 && parts[0].type !== "integer" ? pattern.slice(4) : pattern;
          const [before, after] = forms.slice(sign === "" ? 0 : 2);
          // The texts around a number: the sign of currency, a hyphen for the sign, and blanks.
          const around = (text) =>
            text.split(/([¤-])/).filter((part) => part !== "").map((part) => {
              if (part === "-") return signPart;
              return part === "¤" ? { type: "currency", value: symbol } : { type: "literal", value: part };
            });
          return [...around(before), ...parts, ...around(after)];
        }
        if (style === "percent") {
          if (percent.length > 1) parts.push({ type: "literal", value: percent.slice(0, -1) });
          parts.push({ type: "percentSign", value: percent.slice(-1) });
        }
        return sign === "" ? parts : [signPart, ...parts];
      }
      #symbol() {
        const { currency, currencyDisplay } = this.#options;
        const { home } = LOCALES[this.#locale];
        if (currencyDisplay === "code") return currency;
        if (currencyDisplay === "narrowSymbol") return NARROW[currency] ?? SYMBOLS[currency] ?? currency;
        if (currency === "USD" && home !== "USD") return "US$";
        if (currency === "CAD" && home === "CAD") return "$";
        if (currency === "JPY" && home !== "USD") return "JP¥";
        return SYMBOLS[currency] ?? currency;
      }
      formatRange(start, end) {
        if (this.#table) unavailable(`A range in ${this.#locale}`);
        const [from, to] = [this.format(start), this.format(end)];
        return from === to ? `~${from}` : `${from}–${to}`;
      }
      resolvedOptions() {
        const { trailingZeroDisplay, ...options } = this.#options;
        if (options.notation !== "compact") delete options.compactDisplay;
        return { locale: this.#locale, numberingSystem: "latn", ...options, roundingMode: "halfExpand", trailingZeroDisplay };
      }
      static supportedLocalesOf(locales) {
        return $.web.locales.list(locales).filter((tag) => $.web.locales.known(tag) !== undefined);
      }
    }

    const groupingOf = (value, notation) => {
      if (value === undefined) return notation === "compact" ? "min2" : "auto";
      if (value === "false" || !value) return false;
      if (value === true || value === "true" || value === "always") return "always";
      if (value === "min2" || value === "auto") return value;
      throw new RangeError(`Value ${value} out of range for Intl options property useGrouping`);
    };

    const digitsOf = (options, { style, notation, currency }) => {
      const significant = options.minimumSignificantDigits !== undefined || options.maximumSignificantDigits !== undefined;
      if (significant) {
        const least = whole(options, "minimumSignificantDigits", 1, 21, 1);
        return { minimumSignificantDigits: least, maximumSignificantDigits: whole(options, "maximumSignificantDigits", least, 21, 21) };
      }
      const given = options.minimumFractionDigits !== undefined || options.maximumFractionDigits !== undefined;
      if (notation === "compact" && !given) return { minimumFractionDigits: 0, maximumFractionDigits: 0, isCompactRounding: true };
      const standard = style === "currency" ? (NO_DIGITS.includes(currency) ? 0 : THREE_DIGITS.includes(currency) ? 3 : 2) : 0;
      const most = style === "currency" ? standard : style === "percent" ? 0 : 3;
      const minimum = whole(options, "minimumFractionDigits", 0, 100, undefined);
      const maximum = whole(options, "maximumFractionDigits", 0, 100, undefined);
      if (minimum === undefined && maximum === undefined) return { minimumFractionDigits: standard, maximumFractionDigits: Math.max(standard, most) };
      if (minimum === undefined) return { minimumFractionDigits: Math.min(standard, maximum), maximumFractionDigits: maximum };
      if (maximum === undefined) return { minimumFractionDigits: minimum, maximumFractionDigits: Math.max(most, minimum) };
      if (minimum > maximum) throw new RangeError("maximumFractionDigits value is out of range.");
      return { minimumFractionDigits: minimum, maximumFractionDigits: maximum };
    };

    const round = (decimal, o) => {
      if (o.maximumSignificantDigits !== undefined) return decimal.toSignificant(o.maximumSignificantDigits);
      // Short numbers keep two digits, longer ones none after the point.
      if (o.isCompactRounding && decimal.point < 2) return decimal.toSignificant(2);
      return decimal.toFraction(o.maximumFractionDigits);
    };
    const stepOf = (decimal) => Math.max(0, Math.min(COMPACT_STEPS, Math.floor((decimal.point - 1) / 3)));

    const digitParts = (decimal, o) => {
      const integer = decimal.integer.padStart(o.minimumIntegerDigits, "0");
      let { fraction } = decimal;
      if (o.minimumSignificantDigits !== undefined) {
        const leading = decimal.isZero ? 1 : Math.max(decimal.point, 0);
        const zeros = decimal.point < 0 ? -decimal.point : 0;
        fraction = fraction.padEnd(Math.max(0, o.minimumSignificantDigits - leading + zeros), "0");
      } else fraction = fraction.padEnd(o.minimumFractionDigits, "0");
      if (o.trailingZeroDisplay === "stripIfInteger" && /^0*$/.test(fraction)) fraction = "";
      const parts = [];
      const groups = o.useGrouping && integer.length > 3 && !(o.useGrouping === "min2" && integer.length < 5);
      if (!groups) parts.push({ type: "integer", value: integer });
      else {
        const first = integer.length % 3 || 3;
        parts.push({ type: "integer", value: integer.slice(0, first) });
        for (let at = first; at < integer.length; at += 3) {
          parts.push({ type: "group", value: "," }, { type: "integer", value: integer.slice(at, at + 3) });
        }
      }
      if (fraction !== "") parts.push({ type: "decimal", value: "." }, { type: "fraction", value: fraction });
      return parts;
    };

    const signOf = (display, isNegative, isZero) => {
      switch (display) {
        case "never":
          return "";
        case "always":
          return isNegative ? "-" : "+";
        case "exceptZero":
          return isZero ? "" : isNegative ? "-" : "+";
        case "negative":
          return isNegative && !isZero ? "-" : "";
        default:
          return isNegative ? "-" : "";
      }
    };

    const numeric = (value) => {
      if (typeof value === "bigint" || typeof value === "number") return value;
      const number = Number(value);
      const isLong = typeof value === "string" && /^-?\d{16,}$/.test(value.trim());
      return isLong ? BigInt(value) : number;
    };

    return { NumberFormat: $.tag(NumberFormat, "Intl.NumberFormat") };
  });
})();
