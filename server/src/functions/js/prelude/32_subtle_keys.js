// Importing, exporting and generating the keys of crypto.subtle.
(() => {
  $.part([], ["subtleKeys"], () => {
    const { keys } = $.web;
    const { fail, make, data, family } = keys;

    const SECRETS = {
      HMAC: ["sign", "verify"],
      "AES-GCM": ["encrypt", "decrypt", "wrapKey", "unwrapKey"],
      "AES-CBC": ["encrypt", "decrypt", "wrapKey", "unwrapKey"],
      "AES-CTR": ["encrypt", "decrypt", "wrapKey", "unwrapKey"],
      PBKDF2: ["deriveKey", "deriveBits"],
      HKDF: ["deriveKey", "deriveBits"],
    };
    const SIGNING = { public: ["verify"], private: ["sign"] };
    const AGREEING = { public: [], private: ["deriveKey", "deriveBits"] };
    const PAIRS = {
      "RSASSA-PKCS1-v1_5": SIGNING,
      "RSA-PSS": SIGNING,
      "RSA-OAEP": { public: ["encrypt", "wrapKey"], private: ["decrypt", "unwrapKey"] },
      ECDSA: SIGNING,
      Ed25519: SIGNING,
      ECDH: AGREEING,
      X25519: AGREEING,
    };
    const BLOCK_BITS = { "SHA-1": 512, "SHA-256": 512, "SHA-384": 1024, "SHA-512": 1024 };
    const AES_BITS = [128, 192, 256];

    const checkUsages = (usages, allowed) => {
      if (usages.some((usage) => !allowed.includes(usage))) fail("SyntaxError", "Unsupported key usage for this key");
    };
    const familyOf = (algorithm) => {
      if (algorithm.name.startsWith("RSA")) return "RSA";
      return algorithm.name.startsWith("EC") ? `${algorithm.namedCurve}` : algorithm.name;
    };

    // The key's own description of its algorithm.
    const describeSecret = (algorithm, bits) => {
      const { name } = algorithm;
      if (name === "HMAC") return { name, hash: { name: keys.hashOf(algorithm) }, length: bits };
      return name.startsWith("AES") ? { name, length: bits } : { name };
    };
    const describePair = (algorithm, type, bytes) => {
      const { name } = algorithm;
      const kind = familyOf(algorithm);
      if (kind !== "RSA") return name.startsWith("EC") ? { name, namedCurve: kind } : { name };
      const jwk = JSON.parse($.host("crypto.key_to_jwk", kind, type === "private", bytes));
      const modulus = keys.fromBase64Url(jwk.n);
      const modulusLength = modulus.length * 8 - Math.clz32(modulus[0]) + 24;
      return {
        name,
        modulusLength,
        publicExponent: keys.fromBase64Url(jwk.e),
        hash: { name: keys.hashOf(algorithm) },
      };
    };

    const importSecret = (format, value, algorithm, extractable, usages) => {
      const { name } = algorithm;
      checkUsages(usages, SECRETS[name]);
      const isDerivation = name === "PBKDF2" || name === "HKDF";
      if (isDerivation && extractable) fail("SyntaxError", `${name} keys are not extractable`);
      if (!isDerivation && usages.length === 0) fail("SyntaxError", "A secret key needs a usage");
      let bytes;
      if (format === "raw") bytes = keys.bytesOf(value, "key").slice();
      else if (format === "jwk" && !isDerivation) {
        if (value?.kty !== "oct") fail("DataError", "The JWK's kty must be oct");
        bytes = keys.fromBase64Url(value.k);
      } else fail("NotSupportedError", `${name} keys cannot be imported as ${format}`);
      const bits = bytes.length * 8;
      if (name.startsWith("AES") && !AES_BITS.includes(bits)) fail("DataError", "AES key data must be 128, 192 or 256 bits");
      if (name === "HMAC" && bits === 0) fail("DataError", "HMAC key data must not be empty");
      const described = describeSecret(algorithm, bits);
      if (format === "jwk") keys.checkJwk(value, described, extractable, usages);
      return make({ type: "secret", extractable, algorithm: described, usages, data: bytes });
    };

    const importPair = (format, value, algorithm, extractable, usages) => {
      const kind = familyOf(algorithm);
      const isPrivate = format === "pkcs8" || (format === "jwk" && value?.d !== undefined);
      const type = isPrivate ? "private" : "public";
      checkUsages(usages, PAIRS[algorithm.name][type]);
      if (isPrivate && usages.length === 0) fail("SyntaxError", "A private key needs a usage");
      if (format === "raw" && kind === "RSA") fail("NotSupportedError", "RSA keys cannot be imported as raw");
      let bytes;
      if (format === "jwk") {
        if (typeof value !== "object" || value === null) throw new TypeError("The key data must be a JWK");
        bytes = $.host("crypto.key_from_jwk", kind, JSON.stringify(value));
      } else bytes = $.host("crypto.key_import", kind, format, keys.bytesOf(value, "key"));
      bytes = new Uint8Array(bytes);
      const described = describePair(algorithm, type, bytes);
      if (format === "jwk") keys.checkJwk(value, described, extractable, usages);
      return make({ type, extractable, algorithm: described, usages, data: bytes, family: kind });
    };

    const importKey = (format, value, givenAlgorithm, extractable, givenUsages) => {
      const algorithm = keys.algorithmOf(givenAlgorithm);
      const usages = keys.usagesOf(givenUsages);
      const importing = algorithm.name in SECRETS ? importSecret : algorithm.name in PAIRS ? importPair : undefined;
      if (!importing) fail("NotSupportedError", `${algorithm.name} has no keys`);
      return importing(format, value, algorithm, Boolean(extractable), usages);
    };

    const exportKey = (format, key) => {
      if (!(key instanceof $.web.CryptoKey)) throw new TypeError("The key is not a CryptoKey");
      if (!key.extractable) fail("InvalidAccessError", "key is not extractable");
      const bytes = data(key);
      if (format === "jwk") return exportJwk(key, bytes);
      if (key.type === "secret" && format === "raw") return bytes.slice().buffer;
      const kind = family(key);
      if (key.type === "public" && format === "raw" && kind !== "RSA") return bytes.slice().buffer;
      const isRight = (format === "spki" && key.type === "public") || (format === "pkcs8" && key.type === "private");
      if (!isRight) fail(kind ? "InvalidAccessError" : "NotSupportedError", `The key cannot be exported as ${format}`);
      return $.host("crypto.key_export", kind, format, bytes);
    };
    const exportJwk = (key, bytes) => {
      const alg = keys.jwkName(key.algorithm);
      const common = { key_ops: key.usages, ext: key.extractable, ...(alg === undefined ? {} : { alg }) };
      if (key.type === "secret") return { kty: "oct", k: keys.toBase64Url(bytes), ...common };
      return { ...JSON.parse($.host("crypto.key_to_jwk", family(key), key.type === "private", bytes)), ...common };
    };

    const secretBits = (algorithm) => {
      if (algorithm.name === "HMAC") {
        const bits = algorithm.length ?? BLOCK_BITS[keys.hashOf(algorithm)];
        if (!(bits > 0) || bits % 8 !== 0) fail("OperationError", "HMAC keys have whole bytes");
        return bits;
      }
      if (!AES_BITS.includes(algorithm.length)) fail("OperationError", "AES key length must be 128, 192 or 256 bits");
      return algorithm.length;
    };

    const generateKey = (givenAlgorithm, givenExtractable, givenUsages) => {
      const algorithm = keys.algorithmOf(givenAlgorithm);
      const usages = keys.usagesOf(givenUsages);
      const extractable = Boolean(givenExtractable);
      const { name } = algorithm;
      if (name in SECRETS && name !== "PBKDF2" && name !== "HKDF") {
        checkUsages(usages, SECRETS[name]);
        if (usages.length === 0) fail("SyntaxError", "A secret key needs a usage");
        const bits = secretBits(algorithm);
        const described = describeSecret(algorithm, bits);
        return make({ type: "secret", extractable, algorithm: described, usages, data: $.randomBytes(bits / 8) });
      }
      if (!(name in PAIRS)) fail("NotSupportedError", `${name} keys cannot be generated`);
      const allowed = PAIRS[name];
      checkUsages(usages, [...allowed.public, ...allowed.private]);
      const privateUsages = usages.filter((usage) => allowed.private.includes(usage));
      if (privateUsages.length === 0) fail("SyntaxError", "A private key needs a usage");
      const kind = familyOf(algorithm);
      if (kind === "RSA") checkExponent(algorithm);
      const secret = new Uint8Array($.host("crypto.key_generate", kind, algorithm.modulusLength ?? 0));
      const open = new Uint8Array($.host("crypto.key_public", kind, secret));
      const described = describePair(algorithm, "public", open);
      const common = { algorithm: described, family: kind };
      const publicUsages = usages.filter((usage) => allowed.public.includes(usage));
      return {
        publicKey: make({ ...common, type: "public", extractable: true, usages: publicUsages, data: open }),
        privateKey: make({ ...common, type: "private", extractable, usages: privateUsages, data: secret }),
      };
    };
    const checkExponent = ({ publicExponent }) => {
      const bytes = [...keys.bytesOf(publicExponent, "publicExponent")];
      while (bytes[0] === 0) bytes.shift();
      if (bytes.join() !== "1,0,1") fail("OperationError", "The public exponent must be 65537");
    };

    return { subtleKeys: { importKey, exportKey, generateKey, secretBits } };
  });
})();
