// TextEncoder, TextDecoder, atob and btoa.
(() => {
  class TextEncoder {
    get encoding() {
      return "utf-8";
    }
    encode(text = "") {
      return new Uint8Array($.host("encoding.encode", $.text(text)));
    }
    encodeInto(text, target) {
      const source = $.text(text);
      const bytes = new Uint8Array($.host("encoding.encode", source));
      if (bytes.length <= target.length) {
        target.set(bytes);
        return { read: source.length, written: bytes.length };
      }
      // Cut where a character begins: bytes 10xxxxxx continue one.
      let written = target.length;
      while (written > 0 && (bytes[written] & 0xc0) === 0x80) written--;
      const kept = bytes.subarray(0, written);
      target.set(kept);
      return { read: $.decodeUtf8(kept).length, written };
    }
  }

  const EMPTY = new Uint8Array(0);

  class TextDecoder {
    #encoding = "utf-8";
    #fatal;
    #ignoreBOM;
    // Bytes that the last chunk ended with and that are no whole character yet.
    #pending = EMPTY;
    #isAtStart = true;
    #isInStream = false;

    constructor(label = "utf-8", options = {}) {
      const name = `${label}`;
      if (name !== "utf-8") this.#encoding = $.host("encoding.name", name.trim());
      this.#fatal = Boolean(options?.fatal);
      this.#ignoreBOM = Boolean(options?.ignoreBOM);
    }
    get encoding() {
      return this.#encoding;
    }
    get fatal() {
      return this.#fatal;
    }
    get ignoreBOM() {
      return this.#ignoreBOM;
    }
    decode(input, options) {
      let bytes = input === undefined ? EMPTY : $.bytesOf(input);
      if (bytes === undefined) {
        throw new TypeError("The provided value is not of type '(ArrayBuffer or ArrayBufferView)'");
      }
      const isStream = Boolean(options?.stream);
      if (!isStream && !this.#isInStream) return this.#text(bytes, !this.#ignoreBOM);

      if (!this.#isInStream) this.#reset();
      this.#isInStream = isStream;
      bytes = $.concat([this.#pending, bytes]);
      this.#pending = EMPTY;
      if (isStream) {
        const held = $.host("encoding.pending", this.#encoding, bytes);
        this.#pending = bytes.slice(bytes.length - held);
        bytes = bytes.subarray(0, bytes.length - held);
      }
      if (bytes.length === 0) return "";
      const isAtStart = this.#isAtStart;
      this.#isAtStart = false;
      return this.#text(bytes, isAtStart && !this.#ignoreBOM);
    }
    #text(bytes, stripsBom) {
      return $.host("encoding.decode", this.#encoding, bytes, this.#fatal, stripsBom);
    }
    #reset() {
      this.#pending = EMPTY;
      this.#isAtStart = true;
    }
  }

  $.encodeUtf8 = (text) => new Uint8Array($.host("encoding.encode", $.text(text)));
  // The text of bytes, without a byte order mark, as a body's `text()` gives it.
  $.decodeUtf8 = (bytes) => $.host("encoding.decode", "utf-8", bytes, false, true);

  $.global("TextEncoder", $.tag(TextEncoder));
  $.global("TextDecoder", $.tag(TextDecoder));
  $.global("atob", { atob: (text) => $.host("encoding.atob", $.text(text)) }.atob);
  $.global("btoa", { btoa: (text) => $.host("encoding.btoa", $.text(text)) }.btoa);
})();
