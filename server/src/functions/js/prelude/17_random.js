// Math.random from the host's seeded generator. The engine's own would repeat after each restore.
(() => {
  const VALUES_AT_ONCE = 64;
  const BYTES_A_VALUE = 8;
  const UNIT = 2 ** -53;

  let words = new Uint32Array(0);
  let used = 0;

  // Nothing is kept back while modules are loaded: it would be in the image, and the same in each call.
  const refill = () => {
    const values = $.call.kind === "import" ? 1 : VALUES_AT_ONCE;
    words = new Uint32Array($.host("random", values * BYTES_A_VALUE));
    used = 0;
  };

  const random = () => {
    if (used === words.length) refill();
    const high = words[used++] >>> 5;
    const low = words[used++] >>> 6;
    return (high * 2 ** 26 + low) * UNIT;
  };
  Object.defineProperty(Math, "random", { value: { random: () => random() }.random, writable: true, configurable: true });
})();
