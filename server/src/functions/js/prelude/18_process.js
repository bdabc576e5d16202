// process.env: only reading a variable is trapped, so that the host knows what a call depends on.
(() => {
  const env = new Proxy(
    {},
    {
      get(target, name) {
        if (typeof name !== "string") return Reflect.get(target, name);
        const value = $.host("env", name) ?? target[name];
        if (value === undefined && name === "inspect") return () => "{}";
        return value;
      },
    },
  );
  $.global("process", { env });
})();
