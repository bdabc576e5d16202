// Response.
(() => {
  $.part(["Response"], ["responseFromHost"], () => {
    const { Body, BodyOwner, Headers, URL } = $.web;
    const WITHOUT_BODY = [101, 103, 204, 205, 304];
    const REDIRECTS = [301, 302, 303, 307, 308];
    const REASON = /^[\t\x20-\x7e\x80-\xff]*$/;

    class Response extends BodyOwner {
      #status = 200;
      #statusText = "";
      #headers;
      #url = "";
      #type = "default";
      #isRedirected = false;

      constructor(value = null, init = {}, secret, parts) {
        super();
        if (secret === $.secret) {
          this.#take(parts);
          return;
        }
        const options = init ?? {};
        if (options.status !== undefined) this.#status = statusOf(options.status);
        if (options.statusText !== undefined) this.#statusText = `${options.statusText}`;
        if (!REASON.test(this.#statusText)) throw new TypeError("Invalid statusText");
        this.#headers = new Headers(options.headers);
        if (value === null || value === undefined) return;
        // The standard throws here. Libraries of Convex answer with an empty text, which is no body either.
        if (value === "" && WITHOUT_BODY.includes(this.#status)) return;
        if (WITHOUT_BODY.includes(this.#status)) {
          throw new TypeError(`Response with status ${this.#status} cannot have body`);
        }
        const { body, type } = Body.extract(value);
        Body.set(this, body);
        if (type !== undefined && !this.#headers.has("content-type")) this.#headers.set("content-type", type);
      }
      #take({ status, statusText, headers, url, type, isRedirected, body }) {
        this.#status = status;
        this.#statusText = statusText ?? "";
        this.#headers = headers;
        this.#url = url ?? "";
        this.#type = type;
        this.#isRedirected = Boolean(isRedirected);
        Body.set(this, body);
      }
      get status() {
        return this.#status;
      }
      get ok() {
        return this.#status >= 200 && this.#status <= 299;
      }
      get statusText() {
        return this.#statusText;
      }
      get headers() {
        return this.#headers;
      }
      get url() {
        return this.#url;
      }
      get type() {
        return this.#type;
      }
      get redirected() {
        return this.#isRedirected;
      }
      clone() {
        return make({
          status: this.#status,
          statusText: this.#statusText,
          headers: new Headers(this.#headers),
          url: this.#url,
          type: this.#type,
          isRedirected: this.#isRedirected,
          body: Body.get(this)?.clone() ?? null,
        });
      }
      static error() {
        return make({ status: 0, headers: $.web.headersFrom([], true), type: "error", body: null });
      }
      static json(data, init = {}) {
        const text = JSON.stringify(data);
        if (text === undefined) throw new TypeError("The data is not JSON serializable");
        const headers = new Headers(init?.headers);
        if (!headers.has("content-type")) headers.set("content-type", "application/json");
        return new Response(text, { ...init, headers });
      }
      static redirect(url, status = 302) {
        const address = URL.parse(`${url}`);
        if (address === null) throw new TypeError(`Failed to parse URL from ${url}`);
        if (!REDIRECTS.includes(Number(status))) throw new RangeError(`Invalid status code ${status}`);
        const headers = $.web.headersFrom([["location", address.href]], true);
        return make({ status: Number(status), headers, type: "default", body: null });
      }
    }
    const make = (parts) => new Response(undefined, undefined, $.secret, parts);

    const statusOf = (value) => {
      const status = Math.trunc(Number(value));
      if (!(status >= 200 && status <= 599)) {
        throw new RangeError(`init["status"] must be in the range of 200 to 599, inclusive.`);
      }
      return status;
    };

    // A response of the network.
    const responseFromHost = ({ status, statusText, headers, url, redirected, streamId }, body) =>
      make({
        status,
        statusText,
        headers: $.web.headersFrom(headers, true),
        url,
        type: "basic",
        isRedirected: redirected,
        body: streamId === undefined || streamId === null ? null : body,
      });
    return { Response: $.tag(Response), responseFromHost };
  });
})();
