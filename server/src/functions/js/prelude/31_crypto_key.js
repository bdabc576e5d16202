// CryptoKey, the names of algorithms, and keys as JSON Web Keys.
(() => {
  $.part(["CryptoKey"], ["keys"], () => {
    const NAMES = [
      "SHA-1",
      "SHA-256",
      "SHA-384",
      "SHA-512",
      "HMAC",
      "AES-GCM",
      "AES-CBC",
      "AES-CTR",
      "PBKDF2",
      "HKDF",
      "RSASSA-PKCS1-v1_5",
      "RSA-PSS",
      "RSA-OAEP",
      "ECDSA",
      "ECDH",
      "Ed25519",
      "X25519",
    ];
    const BY_LOWER = new Map(NAMES.map((name) => [name.toLowerCase(), name]));
    const USAGES = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"];

    const fail = (name, text) => {
      throw $.domException(text, name);
    };

    class CryptoKey {
      #type;
      #extractable;
      #algorithm;
      #usages;
      // The host's form of the key, and the family of a key pair's key.
      #data;
      #family;
      constructor(secret, { type, extractable, algorithm, usages, data, family }) {
        if (secret !== $.secret) $.illegal();
        this.#type = type;
        this.#extractable = extractable;
        this.#algorithm = algorithm;
        this.#usages = USAGES.filter((usage) => usages.includes(usage));
        this.#data = data;
        this.#family = family;
      }
      get type() {
        return this.#type;
      }
      get extractable() {
        return this.#extractable;
      }
      get algorithm() {
        return this.#algorithm;
      }
      get usages() {
        return [...this.#usages];
      }
      static data(key) {
        return key.#data;
      }
      static family(key) {
        return key.#family;
      }
      // Checks that `key` may do `usage` with the algorithm `name`.
      static check(key, name, usage) {
        if (!(key instanceof CryptoKey)) throw new TypeError("The key is not a CryptoKey");
        if (key.#algorithm.name !== name) fail("InvalidAccessError", "The key's algorithm does not match");
        if (!key.#usages.includes(usage)) fail("InvalidAccessError", `The key cannot be used to ${usage}`);
      }
    }
    const { data, family, check } = CryptoKey;
    for (const name of ["data", "family", "check"]) delete CryptoKey[name];

    // An algorithm with its name as the standard writes it.
    const algorithmOf = (value) => {
      const given = typeof value === "object" && value !== null ? value : { name: value };
      const name = BY_LOWER.get(`${given.name}`.toLowerCase());
      if (name === undefined) fail("NotSupportedError", `Unrecognized algorithm name: ${given.name}`);
      return { ...given, name };
    };
    const hashOf = (algorithm) => {
      if (algorithm.hash === undefined) throw new TypeError(`${algorithm.name}: hash is required`);
      const { name } = algorithmOf(algorithm.hash);
      if (!name.startsWith("SHA-")) fail("NotSupportedError", `${name} is not a hash`);
      return name;
    };
    const bytesOf = (value, what = "data") => {
      const bytes = $.bytesOf(value);
      if (bytes === undefined) throw new TypeError(`The ${what} must be an ArrayBuffer or a view of one`);
      return bytes;
    };
    const usagesOf = (usages) => {
      const list = [...usages].map(String);
      const unknown = list.find((usage) => !USAGES.includes(usage));
      if (unknown !== undefined) throw new TypeError(`'${unknown}' is not a key usage`);
      return list;
    };

    const toBase64Url = (bytes) => {
      let text = "";
      for (const byte of bytes) text += String.fromCharCode(byte);
      return $.host("encoding.btoa", text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
    };
    const fromBase64Url = (text) => {
      if (typeof text !== "string" || !/^[A-Za-z0-9_-]*$/.test(text)) fail("DataError", "The JWK is invalid");
      const decoded = $.host("encoding.atob", text.replaceAll("-", "+").replaceAll("_", "/"));
      return Uint8Array.from(decoded, (char) => char.charCodeAt(0));
    };

    const SIZES = { "SHA-1": "1", "SHA-256": "256", "SHA-384": "384", "SHA-512": "512" };
    // The `alg` of a JWK, where it has one.
    const jwkName = (algorithm) => {
      const size = SIZES[algorithm.hash?.name];
      switch (algorithm.name) {
        case "HMAC":
          return `HS${size}`;
        case "AES-GCM":
        case "AES-CBC":
        case "AES-CTR":
          return `A${algorithm.length}${algorithm.name.slice(4)}`;
        case "RSASSA-PKCS1-v1_5":
          return `RS${size}`;
        case "RSA-PSS":
          return `PS${size}`;
        case "RSA-OAEP":
          return size === "1" ? "RSA-OAEP" : `RSA-OAEP-${size}`;
        default:
          return undefined;
      }
    };

    // Checks what a JWK says about its own use.
    const checkJwk = (jwk, algorithm, extractable, usages) => {
      const name = jwkName(algorithm);
      if (jwk.alg !== undefined && name !== undefined && jwk.alg !== name) fail("DataError", "The JWK's alg does not match");
      if (jwk.ext === false && extractable) fail("DataError", "The JWK is not extractable");
      if (jwk.key_ops !== undefined && usages.some((usage) => !jwk.key_ops.includes(usage))) {
        fail("DataError", "The JWK's key_ops do not allow these usages");
      }
      const isSigning = usages.some((usage) => usage === "sign" || usage === "verify");
      if (jwk.use !== undefined && usages.length > 0 && jwk.use !== (isSigning ? "sig" : "enc")) {
        fail("DataError", "The JWK's use does not match");
      }
    };

    return {
      CryptoKey: $.tag(CryptoKey),
      keys: {
        ...{ data, family, check, fail, algorithmOf, hashOf, bytesOf, usagesOf },
        ...{ toBase64Url, fromBase64Url, jwkName, checkJwk },
        make: (parts) => new CryptoKey($.secret, parts),
      },
    };
  });
})();
