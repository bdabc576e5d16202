// Request.
(() => {
  $.part(["Request"], ["requestFromHost"], () => {
    const { Body, BodyOwner, Headers, URL } = $.web;
    const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
    const NORMALIZED = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"];
    const FORBIDDEN = ["CONNECT", "TRACE", "TRACK"];
    const REDIRECTS = ["follow", "manual", "error"];
    // Properties that change nothing here but are kept as they were given.
    const KEPT = {
      cache: "default",
      credentials: "same-origin",
      destination: "",
      duplex: "half",
      integrity: "",
      keepalive: false,
      mode: "cors",
      referrer: "about:client",
      referrerPolicy: "",
    };

    const methodOf = (value) => {
      const method = `${value}`;
      const upper = method.toUpperCase();
      if (!TOKEN.test(method) || FORBIDDEN.includes(upper)) throw new TypeError(`'${method}' is not a valid HTTP method.`);
      return NORMALIZED.includes(upper) ? upper : method;
    };

    class Request extends BodyOwner {
      #method = "GET";
      #url;
      #headers;
      #signal;
      #redirect = "follow";
      #kept = KEPT;

      constructor(input, init = {}, secret, parts) {
        super();
        if (secret === $.secret) {
          this.#take(parts);
          return;
        }
        if (arguments.length === 0) throw new TypeError("Request: 1 argument required, but only 0 present");
        const options = init ?? {};
        const base = input instanceof Request ? input : undefined;
        this.#url = base ? base.#url : addressOf(input);
        this.#method = options.method === undefined ? (base?.#method ?? "GET") : methodOf(options.method);
        this.#headers = new Headers(options.headers ?? base?.#headers);
        this.#redirect = redirectOf(options.redirect ?? base?.#redirect ?? "follow");
        this.#signal = signalOf(options.signal === undefined ? base?.signal : options.signal);
        this.#kept = { ...(base?.#kept ?? KEPT) };
        for (const name of Object.keys(KEPT)) if (options[name] !== undefined) this.#kept[name] = options[name];
        this.#setBody(options.body, base);
      }
      #take({ url, method, headers, signal, body }) {
        this.#url = url;
        this.#method = method;
        this.#headers = headers;
        this.#signal = signal;
        Body.set(this, body);
      }
      #setBody(value, base) {
        const inherited = base && value === undefined ? Body.get(base) : null;
        const hasBody = (value !== undefined && value !== null) || inherited;
        if (hasBody && (this.#method === "GET" || this.#method === "HEAD")) {
          throw new TypeError("Request with GET/HEAD method cannot have body.");
        }
        if (inherited) Body.set(this, inherited.take());
        else if (hasBody) {
          const { body, type } = Body.extract(value);
          Body.set(this, body);
          if (type !== undefined && !this.#headers.has("content-type")) this.#headers.set("content-type", type);
        }
      }
      get method() {
        return this.#method;
      }
      get url() {
        return this.#url;
      }
      get headers() {
        return this.#headers;
      }
      get redirect() {
        return this.#redirect;
      }
      get signal() {
        this.#signal ??= $.web.abortSignal().signal;
        return this.#signal;
      }
      clone() {
        const parts = {
          url: this.#url,
          method: this.#method,
          headers: new Headers(this.#headers),
          signal: this.#signal,
          body: Body.get(this)?.clone() ?? null,
        };
        const copy = new Request(undefined, undefined, $.secret, parts);
        copy.#redirect = this.#redirect;
        copy.#kept = this.#kept;
        return copy;
      }
      static kept(request, name) {
        return request.#kept[name];
      }
      // The signal if there is one, so that none is made for a request that cannot be aborted.
      static ownSignal(request) {
        return request.#signal;
      }
    }
    const { kept, ownSignal } = Request;
    delete Request.kept;
    delete Request.ownSignal;
    for (const name of Object.keys(KEPT)) {
      Object.defineProperty(Request.prototype, name, {
        get() {
          return kept(this, name);
        },
        configurable: true,
      });
    }

    const addressOf = (input) => {
      const url = URL.parse(`${input}`);
      if (url === null) throw new TypeError(`Failed to parse URL from ${input}`);
      if (url.username !== "" || url.password !== "") {
        throw new TypeError(`Request cannot be constructed from a URL that includes credentials: ${input}`);
      }
      return url.href;
    };
    const redirectOf = (value) => {
      if (!REDIRECTS.includes(`${value}`)) throw new TypeError(`Invalid redirect mode: ${value}`);
      return `${value}`;
    };
    const signalOf = (signal) => {
      if (signal === undefined || signal === null) return undefined;
      if (!(signal instanceof $.web.AbortSignal)) throw new TypeError("Request: the signal is not an AbortSignal");
      return signal;
    };

    // The request of an HTTP action. Its signal begins to wait for the client when it is first looked at.
    const requestFromHost = ({ url, method, headerPairs, streamId, signal: signalId }) => {
      const wait = (abort) => {
        const gone = () => abort($.domException("The client has disconnected", "AbortError"));
        $.hostAsync("signal.wait", signalId).then(gone, () => {});
      };
      return new Request(undefined, undefined, $.secret, {
        url,
        method,
        headers: $.web.headersFrom(headerPairs, false),
        signal: signalId === undefined || signalId === null ? undefined : $.web.abortSignal(wait).signal,
        body: streamId === undefined || streamId === null ? null : Body.ofHost(streamId),
      });
    };
    return { Request: $.tag(Request), requestFromHost: Object.assign(requestFromHost, { ownSignal }) };
  });
})();
