// Blob and File. Their bytes are held by the object.
(() => {
  $.part(["Blob", "File"], ["blobBytes"], () => {
    const typeOf = (type) => {
      const text = `${type ?? ""}`;
      return /[^\x20-\x7e]/.test(text) ? "" : text.toLowerCase();
    };
    const withNativeLines = (text) => text.replace(/\r\n?/g, "\n");

    class Blob {
      #bytes;
      #type;
      constructor(parts = [], options = {}, secret) {
        this.#type = typeOf(options?.type);
        if (secret === $.secret) {
          this.#bytes = parts;
          return;
        }
        if (typeof parts !== "object" || parts === null || parts[Symbol.iterator] === undefined) {
          throw new TypeError("Blob: the parts must be a sequence");
        }
        const chunks = [];
        for (const part of parts) {
          if (part instanceof Blob) chunks.push(part.#bytes);
          else if ($.bytesOf(part)) chunks.push($.bytesOf(part));
          else {
            const text = `${part}`;
            chunks.push($.encodeUtf8(options?.endings === "native" ? withNativeLines(text) : text));
          }
        }
        const bytes = $.concat(chunks);
        // The parts may change later, a blob does not.
        this.#bytes = chunks.length === 1 ? bytes.slice() : bytes;
      }
      get size() {
        return this.#bytes.byteLength;
      }
      get type() {
        return this.#type;
      }
      async arrayBuffer() {
        return this.#bytes.slice().buffer;
      }
      async bytes() {
        return this.#bytes.slice();
      }
      async text() {
        return $.decodeUtf8(this.#bytes);
      }
      stream() {
        const bytes = this.#bytes;
        return $.web.makeReadableBytes({
          start(controller) {
            if (bytes.byteLength > 0) controller.enqueue(bytes.slice());
            controller.close();
          },
        });
      }
      slice(start = 0, end = this.size, type = "") {
        const at = (value) => {
          const place = Math.trunc(Number(value)) || 0;
          return place < 0 ? Math.max(this.size + place, 0) : Math.min(place, this.size);
        };
        const [from, to] = [at(start), at(end)];
        return new Blob(this.#bytes.subarray(from, Math.max(from, to)), { type }, $.secret);
      }
      static inner(blob) {
        return blob.#bytes;
      }
    }
    const { inner: blobBytes } = Blob;
    delete Blob.inner;

    class File extends Blob {
      #name;
      #lastModified;
      constructor(parts, name, options = {}) {
        if (arguments.length < 2) throw new TypeError("File: 2 arguments required");
        super(parts, options);
        this.#name = $.text(name);
        this.#lastModified = options?.lastModified === undefined ? undefined : Math.trunc(Number(options.lastModified));
      }
      get name() {
        return this.#name;
      }
      get lastModified() {
        // Asked for late, so that a file alone makes no call depend on time.
        this.#lastModified ??= $.host("time.now");
        return this.#lastModified;
      }
      get webkitRelativePath() {
        return "";
      }
    }
    return { Blob: $.tag(Blob), File: $.tag(File), blobBytes };
  });
})();
