// Operations that actions and HTTP actions may use, and queries and mutations may not.

export const actionsOnly = async ({ what, url = "http://x" }: { what: string; url?: string }) => {
  try {
    if (what === "fetch") await fetch(url);
    if (what === "setTimeout") setTimeout(() => {}, 1);
    if (what === "setInterval") clearInterval(setInterval(() => {}, 1));
    if (what === "generateKey") await crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, true, ["sign"]);
    if (what === "store") await (globalThis as any).Convex.jsSyscall("storage/storeBlob", { blob: new Blob(["x"]) });
    if (what === "get") await (globalThis as any).Convex.jsSyscall("storage/getBlob", { storageId: "x" });
    if (what === "formData") await new Response("--b\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n--b--", { headers: { "content-type": "multipart/form-data; boundary=b" } }).formData();
    if (what === "js") await (globalThis as any).Convex.jsSyscall("nope", {});
  } catch (e) { return "caught " + (e as Error).message; }
  return "worked";
};
