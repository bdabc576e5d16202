// crypto.subtle: the host computes, JavaScript checks what a key may do.
(() => {
  $.part(["SubtleCrypto"], ["subtle"], () => {
    const { keys, subtleKeys } = $.web;
    const { fail, check, data, bytesOf } = keys;
    const HASH_BYTES = { "SHA-256": 32, "SHA-384": 48, "SHA-512": 64 };
    const TAG_BITS = [32, 64, 96, 104, 112, 120, 128];
    // Signatures whose making needs random numbers.
    const RANDOMIZED = ["ECDSA", "RSA-PSS"];

    const needsRandomness = () => $.onlyInActions("cryptographic randomness");

    // The hash of a signature: the key's own, or ECDSA's parameter.
    const signatureHash = (algorithm, key) => {
      if (algorithm.name === "ECDSA") return keys.hashOf(algorithm);
      const hash = key.algorithm.hash?.name;
      if (algorithm.name === "RSA-PSS" && algorithm.saltLength !== HASH_BYTES[hash]) {
        fail("NotSupportedError", "RSA-PSS needs a saltLength as long as the hash here");
      }
      return hash;
    };

    const crypt = (direction, algorithm, key, value) => {
      const { name } = algorithm;
      check(key, name, direction);
      const bytes = bytesOf(value);
      switch (name) {
        case "AES-GCM": {
          const tagBits = algorithm.tagLength === undefined ? 128 : Number(algorithm.tagLength);
          if (!TAG_BITS.includes(tagBits)) fail("OperationError", `${tagBits} is not a valid AES-GCM tag length`);
          const { additionalData } = algorithm;
          const additional = additionalData === undefined ? undefined : bytesOf(additionalData, "additionalData");
          return $.host(`crypto.aes_gcm_${direction}`, data(key), bytesOf(algorithm.iv, "iv"), bytes, additional, tagBits / 8);
        }
        case "AES-CBC": {
          const iv = bytesOf(algorithm.iv, "iv");
          if (iv.byteLength !== 16) fail("OperationError", "algorithm.iv must contain exactly 16 bytes");
          return $.host(`crypto.aes_cbc_${direction}`, data(key), iv, bytes);
        }
        case "AES-CTR": {
          const counter = bytesOf(algorithm.counter, "counter");
          if (counter.byteLength !== 16) fail("OperationError", "algorithm.counter must contain exactly 16 bytes");
          return $.host("crypto.aes_ctr", data(key), counter, bytes, Number(algorithm.length));
        }
        case "RSA-OAEP": {
          if (direction === "encrypt") needsRandomness();
          const label = algorithm.label === undefined ? undefined : bytesOf(algorithm.label, "label");
          return $.host(`crypto.oaep_${direction}`, key.algorithm.hash.name, data(key), label, bytes);
        }
        default:
          return fail("NotSupportedError", `${name} does not ${direction}`);
      }
    };

    const checkBits = (bits) => {
      if (bits === null) fail("OperationError", "The length is required");
      if (bits % 8 !== 0) fail("OperationError", "The length must be a multiple of 8");
    };

    const derive = (algorithm, key, usage, bits) => {
      const { name } = algorithm;
      check(key, name, usage);
      switch (name) {
        case "PBKDF2": {
          checkBits(bits);
          const { salt, iterations } = algorithm;
          if (Number(iterations) === 0) fail("OperationError", "iterations must not be 0");
          const hash = keys.hashOf(algorithm);
          return $.host("crypto.pbkdf2", hash, data(key), bytesOf(salt, "salt"), Number(iterations), bits / 8);
        }
        case "HKDF": {
          checkBits(bits);
          const hash = keys.hashOf(algorithm);
          return $.host("crypto.hkdf", hash, data(key), bytesOf(algorithm.salt, "salt"), bytesOf(algorithm.info, "info"), bits / 8);
        }
        case "ECDH":
        case "X25519": {
          const other = algorithm.public;
          const isOther = other instanceof $.web.CryptoKey && other.type === "public" && other.algorithm.name === name;
          if (!isOther || keys.family(other) !== keys.family(key)) fail("InvalidAccessError", "The public key does not match");
          const shared = $.host("crypto.agree", keys.family(key), data(key), data(other));
          if (bits === null) return shared;
          if (bits / 8 > shared.byteLength) fail("OperationError", "The length is too large");
          const part = shared.slice(0, Math.ceil(bits / 8));
          // The bits beyond the last are zero.
          if (bits % 8 !== 0) new Uint8Array(part)[part.byteLength - 1] &= 0xff << (8 - (bits % 8));
          return part;
        }
        default:
          return fail("NotSupportedError", `${name} derives nothing`);
      }
    };

    const bitsOf = (algorithm) => {
      const { name } = algorithm;
      return name === "PBKDF2" || name === "HKDF" ? null : subtleKeys.secretBits(algorithm);
    };

    class SubtleCrypto {
      constructor(secret) {
        if (secret !== $.secret) $.illegal();
      }
      async digest(algorithm, value) {
        return $.host("crypto.digest", keys.algorithmOf(algorithm).name, bytesOf(value));
      }
      async importKey(format, value, algorithm, extractable, usages) {
        return subtleKeys.importKey(`${format}`, value, algorithm, extractable, usages);
      }
      async exportKey(format, key) {
        return subtleKeys.exportKey(`${format}`, key);
      }
      async generateKey(algorithm, extractable, usages) {
        needsRandomness();
        return subtleKeys.generateKey(algorithm, extractable, usages);
      }
      async sign(givenAlgorithm, key, value) {
        const algorithm = keys.algorithmOf(givenAlgorithm);
        const { name } = algorithm;
        check(key, name, "sign");
        const bytes = bytesOf(value);
        if (name === "HMAC") return $.host("crypto.hmac", key.algorithm.hash.name, data(key), bytes);
        if (RANDOMIZED.includes(name)) needsRandomness();
        return $.host("crypto.sign", name, keys.family(key), signatureHash(algorithm, key), data(key), bytes);
      }
      async verify(givenAlgorithm, key, signature, value) {
        const algorithm = keys.algorithmOf(givenAlgorithm);
        const { name } = algorithm;
        check(key, name, "verify");
        const [bytes, given] = [bytesOf(value), bytesOf(signature, "signature")];
        if (name === "HMAC") return $.host("crypto.hmac_verify", key.algorithm.hash.name, data(key), bytes, given);
        return $.host("crypto.verify", name, keys.family(key), signatureHash(algorithm, key), data(key), bytes, given);
      }
      async encrypt(algorithm, key, value) {
        return crypt("encrypt", keys.algorithmOf(algorithm), key, value);
      }
      async decrypt(algorithm, key, value) {
        return crypt("decrypt", keys.algorithmOf(algorithm), key, value);
      }
      async deriveBits(algorithm, key, length = null) {
        return derive(keys.algorithmOf(algorithm), key, "deriveBits", length === null ? null : Number(length));
      }
      async deriveKey(algorithm, key, derivedAlgorithm, extractable, usages) {
        const derived = keys.algorithmOf(derivedAlgorithm);
        const bytes = derive(keys.algorithmOf(algorithm), key, "deriveKey", bitsOf(derived));
        return subtleKeys.importKey("raw", bytes, derived, extractable, usages);
      }
      async wrapKey() {
        $.notImplemented("wrapKey", "SubtleCrypto");
      }
      async unwrapKey() {
        $.notImplemented("unwrapKey", "SubtleCrypto");
      }
    }
    return { SubtleCrypto: $.tag(SubtleCrypto), subtle: new SubtleCrypto($.secret) };
  });
})();
