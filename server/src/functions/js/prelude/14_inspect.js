// The text of any value, as console shows it: strings in single quotes, two spaces of indent, depth five.
(() => {
  const DEPTH_MAX = 5;
  const STRING_CHARS_MAX = 32768;
  // All that one message may grow to; the host cuts what is longer than a line.
  const MESSAGE_CHARS_MAX = 65536;
  const LINE_CHARS = 72;
  const ITEMS_MAX = 1000;
  const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;
  const ESCAPED = /[\x00-\x1f\x7f'\\]/g;
  const ESCAPES = { "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "'": "\\'", "\\": "\\\\" };

  const escape = (char) => ESCAPES[char] ?? `\\x${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;

  const quote = (text) => {
    if (text.length <= STRING_CHARS_MAX) return `'${text.replace(ESCAPED, escape)}'`;
    const more = text.length - STRING_CHARS_MAX;
    return `${quote(text.slice(0, STRING_CHARS_MAX))}... ${more} more character${more > 1 ? "s" : ""}`;
  };

  // One message under way: what it may still grow by, and the objects around the present value.
  class Inspector {
    #charsLeft = MESSAGE_CHARS_MAX;
    #around = [];

    inspect(value) {
      if (this.#charsLeft <= 0) return "...";
      return this.#any(value);
    }

    #any(value) {
      const simple = this.#simple(value);
      if (simple !== undefined) {
        this.#charsLeft -= simple.length;
        return simple;
      }
      if (this.#around.includes(value)) return "[Circular]";
      if (this.#around.length > DEPTH_MAX) return Array.isArray(value) ? "[Array]" : "[Object]";
      this.#around.push(value);
      try {
        return this.#object(value);
      } finally {
        this.#around.pop();
      }
    }

    #simple(value) {
      switch (typeof value) {
        case "string":
          return quote(value);
        case "number":
          return Object.is(value, -0) ? "-0" : `${value}`;
        case "bigint":
          return `${value}n`;
        case "symbol":
          return value.toString();
        case "undefined":
        case "boolean":
          return `${value}`;
        default:
          return value === null ? "null" : undefined;
      }
    }

    #object(value) {
      if (typeof value === "function") return this.#function(value);
      if (Array.isArray(value)) return this.#list("[", this.#items(value), "]");
      if (value instanceof Error) return this.#error(value);
      if (typeof value.inspect === "function") {
        const text = value.inspect();
        return typeof text === "string" ? text : this.inspect(text);
      }
      return this.#builtIn(value) ?? this.#plain(value);
    }

    #builtIn(value) {
      if (value instanceof Map) {
        const entries = this.#each(value, ([key, item]) => `${this.inspect(key)} => ${this.inspect(item)}`);
        return this.#list(`Map (${value.size}) {`, entries, "}");
      }
      if (value instanceof Set) {
        const entries = this.#each(value, (item) => this.inspect(item));
        return this.#list(`Set (${value.size}) {`, entries, "}");
      }
      if (value instanceof Date || value instanceof RegExp) return `${value}`;
      if (value instanceof ArrayBuffer) return `ArrayBuffer { byteLength: ${value.byteLength} }`;
      if (value instanceof DataView) return `DataView { byteLength: ${value.byteLength} }`;
      if (ArrayBuffer.isView(value)) {
        return this.#list(`${value.constructor.name} [`, this.#each(value, (item) => this.inspect(item)), "]");
      }
      if (value instanceof WeakMap) return "WeakMap { ? }";
      if (value instanceof WeakSet) return "WeakSet { ? }";
      if (value instanceof WeakRef) return "WeakRef { ? }";
      if (value instanceof Promise) return "Promise {}";
      for (const Boxed of [Number, String, Boolean, BigInt, Symbol]) {
        if (value instanceof Boxed) return `Object(${this.inspect(value.valueOf())})`;
      }
      return undefined;
    }

    #function(value) {
      const name = value.name ? `: ${value.name}` : " (anonymous)";
      const entries = this.#entries(value);
      return `[Function${name}]${entries.length > 0 ? ` ${this.#list("{", entries, "}")}` : ""}`;
    }

    #error(error) {
      const entries = this.#entries(error);
      const own = Object.getOwnPropertyDescriptor(error, "cause");
      if (own && !own.enumerable) entries.push(`[cause]: ${this.inspect(error.cause)}`);
      const text = `[${error}]`;
      return entries.length === 0 ? text : this.#list(`{ ${text}`, entries, "}");
    }

    #plain(value) {
      const prototype = Object.getPrototypeOf(value);
      const isPlain = prototype === Object.prototype;
      let tag = "";
      if (prototype === null) tag = "[Object: null prototype] ";
      else if (!isPlain) {
        const { constructor } = value;
        if (typeof constructor === "function" && constructor.name) tag = `${constructor.name} `;
        if (Symbol.toStringTag in value) tag += `[${String(value[Symbol.toStringTag])}] `;
      }
      return this.#list(`${tag}{`, this.#entries(value), "}");
    }

    #items(array) {
      const items = [];
      const length = Math.min(array.length, ITEMS_MAX);
      for (let i = 0; i < length && this.#charsLeft > 0; i++) items.push(i in array ? this.inspect(array[i]) : "");
      if (items.length < array.length) items.push(`... ${array.length - items.length} more items`);
      for (const key of Object.keys(array).slice(array.length)) items.push(this.#entry(array, key));
      return items;
    }

    #entries(value) {
      const entries = [];
      for (const key of Object.keys(value)) {
        if (this.#charsLeft <= 0) break;
        entries.push(this.#entry(value, key));
      }
      for (const symbol of Object.getOwnPropertySymbols(value)) {
        if (this.#charsLeft <= 0) break;
        if (!Object.prototype.propertyIsEnumerable.call(value, symbol)) continue;
        entries.push(`[${symbol.toString()}]: ${this.inspect(value[symbol])}`);
      }
      return entries;
    }

    #entry(value, key) {
      return `${IDENTIFIER.test(key) ? key : quote(key)}: ${this.inspect(value[key])}`;
    }

    #each(values, show) {
      const entries = [];
      for (const value of values) {
        if (this.#charsLeft <= 0 || entries.length === ITEMS_MAX) {
          entries.push("...");
          break;
        }
        entries.push(show(value));
      }
      return entries;
    }

    // On one line if it is short, else an entry a line.
    #list(open, entries, close) {
      if (entries.length === 0) return `${open}${close}`;
      this.#charsLeft -= open.length + 2 * entries.length;
      const length = entries.reduce((sum, entry) => sum + entry.length + 2, open.length);
      if (length <= LINE_CHARS && !entries.some((entry) => entry.includes("\n"))) {
        return `${open} ${entries.join(", ")} ${close}`;
      }
      const lines = entries.map((entry) => `  ${entry.replaceAll("\n", "\n  ")}`);
      return `${open}\n${lines.join(",\n")}\n${close}`;
    }
  }

  $.inspect = (value) => {
    try {
      return new Inspector().inspect(value);
    } catch {
      return "[value that cannot be shown]";
    }
  };
})();
