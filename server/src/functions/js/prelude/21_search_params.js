// URLSearchParams. One that belongs to a URL tells it of each change.
(() => {
  $.part(["URLSearchParams"], ["paramsOf"], () => {
    class URLSearchParams {
      // Names and values in turn.
      #flat = [];
      #changed;

      constructor(init = "", secret, changed) {
        if (secret === $.secret) this.#changed = changed;
        if (typeof init === "function" || (typeof init === "object" && init !== null)) this.#fill(init);
        else this.#parse(`${init}`);
      }

      #parse(text) {
        const query = text.startsWith("?") ? text.slice(1) : text;
        this.#flat = query === "" ? [] : JSON.parse($.host("url.pairs", $.text(query)));
      }

      #fill(init) {
        const iterate = init[Symbol.iterator];
        if (iterate === undefined || iterate === null) {
          for (const name of Reflect.ownKeys(init)) {
            if (!Object.prototype.propertyIsEnumerable.call(init, name)) continue;
            this.#flat.push($.text(name), $.text(init[name]));
          }
          return;
        }
        for (const pair of init) {
          const [name, value, ...more] = pair;
          if (value === undefined || more.length > 0) {
            throw new TypeError("Each query pair must be an iterable [name, value] tuple");
          }
          this.#flat.push($.text(name), $.text(value));
        }
      }

      #tell() {
        this.#changed?.(this.toString());
      }

      #keep(isKept) {
        const kept = [];
        for (let i = 0; i < this.#flat.length; i += 2) {
          if (isKept(this.#flat[i], this.#flat[i + 1], i)) kept.push(this.#flat[i], this.#flat[i + 1]);
        }
        this.#flat = kept;
      }

      get size() {
        return this.#flat.length / 2;
      }
      append(name, value) {
        this.#flat.push($.text(name), $.text(value));
        this.#tell();
      }
      delete(name, value) {
        const [of, only] = [$.text(name), value === undefined ? undefined : $.text(value)];
        this.#keep((key, item) => key !== of || (only !== undefined && item !== only));
        this.#tell();
      }
      get(name) {
        const of = $.text(name);
        for (let i = 0; i < this.#flat.length; i += 2) if (this.#flat[i] === of) return this.#flat[i + 1];
        return null;
      }
      getAll(name) {
        const of = $.text(name);
        return this.#flat.filter((_, i) => i % 2 === 1 && this.#flat[i - 1] === of);
      }
      has(name, value) {
        if (value === undefined) return this.get(name) !== null;
        return this.getAll(name).includes($.text(value));
      }
      set(name, value) {
        const of = $.text(name);
        let isSet = false;
        for (let i = 0; i < this.#flat.length && !isSet; i += 2) {
          if (this.#flat[i] !== of) continue;
          this.#flat[i + 1] = $.text(value);
          isSet = true;
          this.#keep((key, _, at) => key !== of || at <= i);
        }
        if (isSet) this.#tell();
        else this.append(of, value);
      }
      sort() {
        const pairs = [...this];
        pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
        this.#flat = pairs.flat();
        this.#tell();
      }
      forEach(visit, thisArg) {
        for (const [name, value] of this) visit.call(thisArg, value, name, this);
      }
      *entries() {
        for (let i = 0; i < this.#flat.length; i += 2) yield [this.#flat[i], this.#flat[i + 1]];
      }
      *keys() {
        for (let i = 0; i < this.#flat.length; i += 2) yield this.#flat[i];
      }
      *values() {
        for (let i = 0; i < this.#flat.length; i += 2) yield this.#flat[i + 1];
      }
      toString() {
        return this.#flat.length === 0 ? "" : $.host("url.query", JSON.stringify(this.#flat));
      }
      // Takes over a query that its URL was given.
      static replace(params, query) {
        params.#parse(query);
      }
    }
    const { replace } = URLSearchParams;
    delete URLSearchParams.replace;
    Object.defineProperty(URLSearchParams, "length", { value: 0, configurable: true });
    Object.defineProperty(URLSearchParams.prototype, Symbol.iterator, {
      value: URLSearchParams.prototype.entries,
      writable: true,
      configurable: true,
    });
    $.tag(URLSearchParams);

    const paramsOf = (query, changed) => {
      const params = new URLSearchParams(query, $.secret, changed);
      return { params, replace: (text) => replace(params, text) };
    };
    return { URLSearchParams, paramsOf };
  });
})();
