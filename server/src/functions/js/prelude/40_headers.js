// Headers: names in lower case, values of one name joined by a comma, except for set-cookie.
(() => {
  $.part(["Headers"], ["headersFrom", "pairsOf"], () => {
    const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
    const AROUND = /^[\t\n\r ]+|[\t\n\r ]+$/g;
    const FORBIDDEN = /[\0\n\r]|[^\0-\xff]/;
    const COOKIE = "set-cookie";

    const nameOf = (value) => {
      const name = `${value}`;
      if (!TOKEN.test(name)) throw new TypeError(`Invalid header name: ${name}`);
      return name.toLowerCase();
    };
    const valueOf = (value) => {
      const text = `${value}`.replace(AROUND, "");
      if (FORBIDDEN.test(text)) throw new TypeError("Invalid header value");
      return text;
    };

    class Headers {
      // Name to its values, in order.
      #lists = new Map();
      #isImmutable = false;

      constructor(init) {
        if (init === undefined) return;
        if (typeof init !== "object" || init === null) {
          throw new TypeError("Headers must be given as a record or as a sequence of pairs");
        }
        const isList = init[Symbol.iterator] !== undefined;
        for (const pair of isList ? init : ownEntries(init)) {
          const [name, value, ...more] = pair;
          if (value === undefined && pair.length !== 2) throw new TypeError("A header needs a name and a value");
          if (more.length > 0) throw new TypeError("A header is a name and a value");
          this.append(name, value);
        }
      }

      append(name, value) {
        const [key, text] = [nameOf(name), valueOf(value)];
        this.#mutate();
        const list = this.#lists.get(key);
        if (list) list.push(text);
        else this.#lists.set(key, [text]);
      }
      delete(name) {
        const key = nameOf(name);
        this.#mutate();
        this.#lists.delete(key);
      }
      get(name) {
        return this.#lists.get(nameOf(name))?.join(", ") ?? null;
      }
      getSetCookie() {
        return [...(this.#lists.get(COOKIE) ?? [])];
      }
      has(name) {
        return this.#lists.has(nameOf(name));
      }
      set(name, value) {
        const [key, text] = [nameOf(name), valueOf(value)];
        this.#mutate();
        this.#lists.set(key, [text]);
      }
      forEach(visit, thisArg) {
        for (const [name, value] of this) visit.call(thisArg, value, name, this);
      }
      *entries() {
        yield* this.#sorted();
      }
      *keys() {
        for (const [name] of this.#sorted()) yield name;
      }
      *values() {
        for (const [, value] of this.#sorted()) yield value;
      }

      #mutate() {
        if (this.#isImmutable) throw new TypeError("These headers are immutable");
      }
      #sorted() {
        const pairs = [];
        for (const name of [...this.#lists.keys()].sort()) {
          const list = this.#lists.get(name);
          if (name === COOKIE) for (const value of list) pairs.push([name, value]);
          else pairs.push([name, list.join(", ")]);
        }
        return pairs;
      }

      // Headers as the host gives them: pairs that are valid, in any case.
      static from(pairs, isImmutable) {
        const headers = new Headers();
        for (const [name, value] of pairs) {
          const key = name.toLowerCase();
          const list = headers.#lists.get(key);
          if (list) list.push(value);
          else headers.#lists.set(key, [value]);
        }
        headers.#isImmutable = isImmutable;
        return headers;
      }
    }

    const ownEntries = (record) =>
      Reflect.ownKeys(record)
        .filter((key) => Object.prototype.propertyIsEnumerable.call(record, key))
        .map((key) => {
          if (typeof key === "symbol") throw new TypeError("A header's name must be a string");
          return [key, record[key]];
        });

    const { from } = Headers;
    delete Headers.from;
    Object.defineProperty(Headers, "length", { value: 0, configurable: true });
    Object.defineProperty(Headers.prototype, Symbol.iterator, {
      value: Headers.prototype.entries,
      writable: true,
      configurable: true,
    });
    $.tag(Headers);
    // The pairs of headers as the host takes them.
    const pairsOf = (headers) => [...headers];
    return { Headers, headersFrom: from, pairsOf };
  });
})();
