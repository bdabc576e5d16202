// FormData, and the form that it has in a body.
(() => {
  $.part(["FormData"], ["formToMultipart", "multipartToForm", "queryToForm"], () => {
    const { Blob, File, blobBytes } = $.web;
    const BOUNDARY_BYTES = 16;

    const needsTwo = (method, count) => {
      if (count < 2) throw new TypeError(`FormData.${method}: 2 arguments required, but only ${count} present.`);
    };

    class FormData {
      #entries = [];
      constructor(form) {
        if (form !== undefined) throw new TypeError("FormData: there are no forms here");
      }
      append(name, value, filename) {
        needsTwo("append", arguments.length);
        this.#entries.push([$.text(name), entryOf(value, filename, arguments.length)]);
      }
      set(name, value, filename) {
        needsTwo("set", arguments.length);
        const key = $.text(name);
        const entry = entryOf(value, filename, arguments.length);
        const at = this.#entries.findIndex(([other]) => other === key);
        if (at < 0) this.#entries.push([key, entry]);
        else {
          this.#entries[at] = [key, entry];
          this.#entries = this.#entries.filter(([other], i) => other !== key || i <= at);
        }
      }
      delete(name) {
        const key = $.text(name);
        this.#entries = this.#entries.filter(([other]) => other !== key);
      }
      get(name) {
        const key = $.text(name);
        return this.#entries.find(([other]) => other === key)?.[1] ?? null;
      }
      getAll(name) {
        const key = $.text(name);
        return this.#entries.filter(([other]) => other === key).map(([, value]) => value);
      }
      has(name) {
        const key = $.text(name);
        return this.#entries.some(([other]) => other === key);
      }
      forEach(visit, thisArg) {
        for (const [name, value] of this) visit.call(thisArg, value, name, this);
      }
      *entries() {
        for (const [name, value] of this.#entries) yield [name, value];
      }
      *keys() {
        for (const [name] of this.#entries) yield name;
      }
      *values() {
        for (const [, value] of this.#entries) yield value;
      }
    }
    Object.defineProperty(FormData.prototype, Symbol.iterator, {
      value: FormData.prototype.entries,
      writable: true,
      configurable: true,
    });
    $.tag(FormData);

    const entryOf = (value, filename, count) => {
      if (!(value instanceof Blob)) {
        if (count > 2) throw new TypeError("FormData: only a Blob has a file name");
        return $.text(value);
      }
      if (value instanceof File && filename === undefined) return value;
      return new File([value], filename === undefined ? "blob" : filename, { type: value.type });
    };

    const escaped = (name) => name.replaceAll("\n", "%0A").replaceAll("\r", "%0D").replaceAll('"', "%22");
    const normalized = (text) => text.replace(/\r\n|\r|\n/g, "\r\n");

    // The bytes of a form and the boundary between its parts.
    const formToMultipart = (form) => {
      const random = Array.from($.randomBytes(BOUNDARY_BYTES), (byte) => byte.toString(16).padStart(2, "0")).join("");
      const boundary = `----formdata-${random}`;
      const chunks = [];
      for (const [name, value] of form) {
        const head = `--${boundary}\r\nContent-Disposition: form-data; name="${escaped(normalized(name))}"`;
        if (typeof value === "string") chunks.push($.encodeUtf8(`${head}\r\n\r\n${normalized(value)}\r\n`));
        else {
          const type = value.type || "application/octet-stream";
          const rest = `; filename="${escaped(value.name)}"\r\nContent-Type: ${type}\r\n\r\n`;
          chunks.push($.encodeUtf8(head + rest), blobBytes(value), $.encodeUtf8("\r\n"));
        }
      }
      chunks.push($.encodeUtf8(`--${boundary}--\r\n`));
      return { bytes: $.concat(chunks), boundary };
    };

    const malformed = () => new TypeError("Failed to parse body as FormData");

    const multipartToForm = (bytes, boundary) => {
      const form = new FormData();
      const parts = $.host("encoding.multipart", bytes, boundary);
      if (parts === null) throw malformed();
      for (const [head, headEnd, start, end] of JSON.parse(parts)) {
        addPart(form, $.decodeUtf8(bytes.subarray(head, headEnd)), bytes.subarray(start, end));
      }
      return form;
    };

    const unescaped = (name) => name.replace(/%0A/gi, "\n").replace(/%0D/gi, "\r").replace(/%22/g, '"');

    const addPart = (form, head, content) => {
      let disposition;
      let type = "text/plain";
      for (const line of head.split("\r\n")) {
        const colon = line.indexOf(":");
        const name = line.slice(0, colon).trim().toLowerCase();
        if (name === "content-disposition") disposition = line.slice(colon + 1).trim();
        if (name === "content-type") type = line.slice(colon + 1).trim();
      }
      if (!disposition || !/^form-data\s*;/i.test(disposition)) throw malformed();
      const parameter = (key) => {
        const match = new RegExp(`;\\s*${key}=(?:"([^"]*)"|([^;\\s]+))`, "i").exec(disposition);
        return match ? unescaped(match[1] ?? match[2]) : undefined;
      };
      const name = parameter("name");
      if (name === undefined) throw malformed();
      const filename = parameter("filename");
      if (filename === undefined) form.append(name, $.decodeUtf8(content));
      else form.append(name, new File([content], filename, { type }));
    };

    const queryToForm = (text) => {
      const form = new FormData();
      for (const [name, value] of new $.web.URLSearchParams(`?${text}`)) form.append(name, value);
      return form;
    };
    return { FormData, formToMultipart, multipartToForm, queryToForm };
  });
})();
