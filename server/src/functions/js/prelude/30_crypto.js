// crypto: random values from the host's generator, and the door to crypto.subtle.
(() => {
  const RANDOM_BYTES_MAX = 65536;
  const INTEGERS = [
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    BigInt64Array,
    BigUint64Array,
  ];
  const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

  $.randomBytes = (length) => new Uint8Array($.host("random", length));

  class Crypto {
    constructor(secret) {
      if (secret !== $.secret) $.illegal();
    }
    get subtle() {
      return $.web.subtle;
    }
    getRandomValues(array) {
      if (!INTEGERS.some((Type) => array instanceof Type)) {
        throw $.domException("The data argument must be an integer-type TypedArray", "TypeMismatchError");
      }
      if (array.byteLength > RANDOM_BYTES_MAX) {
        const text = `The ArrayBufferView's byte length (${array.byteLength}) exceeds the number of bytes of entropy`;
        throw $.domException(`${text} available via this API (${RANDOM_BYTES_MAX})`, "QuotaExceededError");
      }
      $.bytesOf(array).set($.randomBytes(array.byteLength));
      return array;
    }
    randomUUID() {
      const bytes = $.randomBytes(16);
      bytes[6] = (bytes[6] & 0x0f) | 0x40;
      bytes[8] = (bytes[8] & 0x3f) | 0x80;
      let text = "";
      for (let i = 0; i < 16; i++) text += (i === 4 || i === 6 || i === 8 || i === 10 ? "-" : "") + HEX[bytes[i]];
      return text;
    }
  }
  $.global("Crypto", $.tag(Crypto));
  $.global("crypto", new Crypto($.secret));
})();
