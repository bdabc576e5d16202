// URL: the host parses, the parts are cut out of the text when they are asked for.
(() => {
  $.part(["URL"], [], () => {
    // Where the parts of an address end or begin, in the host's order.
    const SCHEME = 0;
    const [USER, USER_END, PASSWORD, PASSWORD_END] = [1, 2, 3, 4];
    const [HOST, HOST_END, PORT, PORT_END] = [5, 6, 7, 8];
    const [PATH, PATH_END, QUERY_END] = [9, 10, 11];

    const parse = (input, base) =>
      $.host("url.parse", $.text(input), base === undefined ? undefined : $.text(base));

    class URL {
      #href;
      #origin;
      #at;
      #search;

      constructor(input, base, secret, parsed) {
        const parts = secret === $.secret ? parsed : parse(input, base);
        if (parts === null) {
          const error = new TypeError("Invalid URL");
          throw Object.assign(error, { code: "ERR_INVALID_URL", input: `${input}` });
        }
        this.#take(parts);
      }

      #take(parts) {
        const [href, origin, positions] = parts.split("\n");
        this.#href = href;
        this.#origin = origin;
        this.#at = positions.split(" ").map(Number);
      }
      #set(part, value) {
        this.#take($.host("url.set", this.#href, part, $.text(value)));
      }
      #cut(from, to) {
        return this.#href.slice(this.#at[from], this.#at[to]);
      }
      // "?" or "#" alone counts as nothing.
      #cutMarked(from, to) {
        const text = this.#href.slice(this.#at[from], to === undefined ? undefined : this.#at[to]);
        return text.length > 1 ? text : "";
      }

      get href() {
        return this.#href;
      }
      set href(value) {
        const parts = parse(value);
        if (parts === null) throw new TypeError("Invalid URL");
        this.#take(parts);
        this.#search?.replace(this.search);
      }
      get origin() {
        return this.#origin;
      }
      get protocol() {
        return `${this.#href.slice(0, this.#at[SCHEME])}:`;
      }
      set protocol(value) {
        this.#set("protocol", value);
      }
      get username() {
        return this.#cut(USER, USER_END);
      }
      set username(value) {
        this.#set("username", value);
      }
      get password() {
        return this.#cut(PASSWORD, PASSWORD_END);
      }
      set password(value) {
        this.#set("password", value);
      }
      get host() {
        return this.#cut(HOST, PORT_END);
      }
      set host(value) {
        this.#set("host", value);
      }
      get hostname() {
        return this.#cut(HOST, HOST_END);
      }
      set hostname(value) {
        this.#set("hostname", value);
      }
      get port() {
        return this.#cut(PORT, PORT_END);
      }
      set port(value) {
        this.#set("port", value);
      }
      get pathname() {
        return this.#cut(PATH, PATH_END);
      }
      set pathname(value) {
        this.#set("pathname", value);
      }
      get search() {
        return this.#cutMarked(PATH_END, QUERY_END);
      }
      set search(value) {
        this.#set("search", value);
        this.#search?.replace(this.search);
      }
      get hash() {
        return this.#cutMarked(QUERY_END);
      }
      set hash(value) {
        this.#set("hash", value);
      }
      get searchParams() {
        this.#search ??= $.web.paramsOf(this.search, (query) => this.#set("search", query));
        return this.#search.params;
      }
      toString() {
        return this.#href;
      }
      toJSON() {
        return this.#href;
      }
      static canParse(input, base) {
        return parse(input, base) !== null;
      }
      static parse(input, base) {
        const parts = parse(input, base);
        return parts === null ? null : new URL(undefined, undefined, $.secret, parts);
      }
      static createObjectURL() {
        $.notImplemented("createObjectURL", "URL");
      }
      static revokeObjectURL() {
        $.notImplemented("revokeObjectURL", "URL");
      }
    }
    Object.defineProperty(URL, "length", { value: 1, configurable: true });
    return { URL: $.tag(URL) };
  });
})();
