// Bodies of requests and responses: nothing, bytes, a stream of the host's, or a stream of JavaScript's.
(() => {
  $.part([], ["Body", "BodyOwner"], () => {
    const unusable = () => new TypeError("Body is unusable: Body has already been read");

    class Body {
      bytes;
      // The host's id of the stream, and the reason why reading it was given up.
      streamId;
      abortReason;
      #stream;
      #isUsed = false;

      static ofBytes(bytes) {
        const body = new Body();
        body.bytes = bytes;
        return body;
      }
      static ofHost(streamId) {
        const body = new Body();
        body.streamId = streamId;
        return body;
      }
      static ofStream(stream) {
        const body = new Body();
        body.#stream = stream;
        return body;
      }
      // The body of a value and the type that it has by itself.
      static extract(value) {
        if (typeof value === "string") return ofText(value, "text/plain");
        if ($.isA(value, "ReadableStream")) {
          if (value.locked || $.web.readableOf(value).isDisturbed) throw new TypeError("The stream is locked or was read");
          return { body: Body.ofStream(value) };
        }
        if ($.isA(value, "Blob")) return { body: Body.ofBytes($.web.blobBytes(value)), type: value.type || undefined };
        if ($.isA(value, "FormData")) {
          const { bytes, boundary } = $.web.formToMultipart(value);
          return { body: Body.ofBytes(bytes), type: `multipart/form-data; boundary=${boundary}` };
        }
        const bytes = $.bytesOf(value);
        if (bytes) return { body: Body.ofBytes(bytes.slice()) };
        const isQuery = $.isA(value, "URLSearchParams");
        return ofText(`${value}`, isQuery ? "application/x-www-form-urlencoded" : "text/plain");
      }

      get isUsed() {
        return this.#isUsed || (this.#stream !== undefined && $.web.readableOf(this.#stream).isDisturbed);
      }
      get isUsable() {
        return !this.isUsed && !this.#stream?.locked;
      }
      get isStream() {
        return this.#stream !== undefined;
      }
      // Takes the body away from whom it belonged to.
      take() {
        if (!this.isUsable) throw unusable();
        const taken = new Body();
        taken.bytes = this.bytes;
        taken.streamId = this.streamId;
        taken.#stream = this.#stream;
        this.#isUsed = true;
        return taken;
      }
      async #readHost() {
        try {
          const chunk = await $.hostAsync("stream.read", this.streamId);
          return chunk === undefined || chunk === null ? undefined : new Uint8Array(chunk);
        } catch (error) {
          throw this.abortReason ?? error;
        }
      }
      async consume() {
        if (!this.isUsable) throw unusable();
        const stream = this.#stream;
        this.#isUsed = true;
        if (stream) return readAll(stream);
        if (this.streamId === undefined) return this.bytes;
        const chunks = [];
        for (let chunk; (chunk = await this.#readHost()) !== undefined; ) chunks.push(chunk);
        return $.concat(chunks);
      }
      stream() {
        if (this.#stream) return this.#stream;
        const { bytes } = this;
        if (this.streamId === undefined) {
          this.#stream = $.web.makeReadableBytes({
            start(controller) {
              if (bytes.byteLength > 0) controller.enqueue(bytes.slice());
              controller.close();
            },
          });
        } else {
          this.#stream = $.web.makeReadableBytes({
            pull: async (controller) => {
              const chunk = await this.#readHost();
              if (chunk === undefined) controller.close();
              else if (chunk.byteLength > 0) controller.enqueue(chunk);
            },
            cancel: () => {
              $.host("stream.cancel", this.streamId);
            },
          });
        }
        return this.#stream;
      }
      clone() {
        if (!this.isUsable) throw unusable();
        if (!this.#stream && this.streamId === undefined) return Body.ofBytes(this.bytes);
        const [mine, other] = this.stream().tee();
        this.#stream = mine;
        return Body.ofStream(other);
      }
      // How the host is given the body: bytes, or the id of a stream that it reads.
      toHost() {
        const body = this.take();
        if (body.#stream) return { streamId: pump(body.#stream) };
        return body.streamId === undefined ? { bytes: body.bytes } : { streamId: body.streamId };
      }
    }

    const ofText = (text, type) => ({ body: Body.ofBytes($.encodeUtf8(text)), type: `${type};charset=UTF-8` });

    const chunkOf = (value) => {
      if (!(value instanceof Uint8Array)) throw new TypeError("A body's stream must give Uint8Array chunks");
      return value;
    };

    const readAll = async (stream) => {
      const reader = stream.getReader();
      const chunks = [];
      for (let part; !(part = await reader.read()).done; ) chunks.push(chunkOf(part.value));
      return $.concat(chunks);
    };

    // Feeds a stream to the host, which says when it can take more.
    const pump = (stream) => {
      const id = $.host("stream.open");
      const reader = stream.getReader();
      const run = async () => {
        try {
          for (;;) {
            const { value, done } = await reader.read();
            if (done) break;
            const chunk = chunkOf(value);
            if (chunk.byteLength > 0) await $.hostAsync("stream.write", id, chunk);
          }
          $.host("stream.close", id);
        } catch (error) {
          $.host("stream.fail", id, `${error?.message ?? error}`);
          await reader.cancel(error);
        }
      };
      run().catch(() => {});
      return id;
    };

    // What Request and Response have in common.
    class BodyOwner {
      #body = null;
      static set(owner, body) {
        owner.#body = body;
      }
      static get(owner) {
        return owner.#body;
      }
      get body() {
        return this.#body?.stream() ?? null;
      }
      get bodyUsed() {
        return this.#body?.isUsed ?? false;
      }
      async #consume() {
        return this.#body ? this.#body.consume() : new Uint8Array(0);
      }
      async arrayBuffer() {
        return copyOf(await this.#consume()).buffer;
      }
      async bytes() {
        return copyOf(await this.#consume());
      }
      async blob() {
        return new $.web.Blob(copyOf(await this.#consume()), { type: this.headers.get("content-type") ?? "" }, $.secret);
      }
      async text() {
        return $.decodeUtf8(await this.#consume());
      }
      async json() {
        return JSON.parse($.decodeUtf8(await this.#consume()));
      }
      async formData() {
        const type = this.headers.get("content-type") ?? "";
        if (/^\s*multipart\/form-data/i.test(type)) {
          $.onlyInActions("formData()");
          const boundary = /;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(type);
          if (!boundary) throw new TypeError("Failed to parse body as FormData: no boundary");
          return $.web.multipartToForm(await this.#consume(), boundary[1] ?? boundary[2]);
        }
        if (/^\s*application\/x-www-form-urlencoded/i.test(type)) {
          return $.web.queryToForm($.decodeUtf8(await this.#consume()));
        }
        throw new TypeError("Failed to parse body as FormData: wrong content type");
      }
    }
    const copyOf = (bytes) => bytes.slice();

    const { set, get } = BodyOwner;
    delete BodyOwner.set;
    delete BodyOwner.get;
    Body.set = set;
    Body.get = get;
    return { Body, BodyOwner };
  });
})();
