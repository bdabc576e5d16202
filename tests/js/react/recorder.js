// The sights of a person at the page: the visible text after every React commit, every change of the document and every
// animation frame, written down by the page itself from before the app starts. Equal entries in a row are one.

const entries = (window.entries = []);
let root;

export function record(kind, detail = "") {
  const text = root ? root.innerText.replace(/\s+/g, " ").trim() : "";
  const last = entries.at(-1);
  if (detail === "" && last?.text === text && last.kinds) last.kinds[kind] = (last.kinds[kind] ?? 0) + 1;
  else entries.push({ ms: Math.round(performance.now()), text, ...(detail ? { kind, detail } : { kinds: { [kind]: 1 } }) });
}

export function watchDocument(element) {
  root = element;
  new MutationObserver(() => record("change")).observe(root, { childList: true, subtree: true, characterData: true });
  const frame = () => {
    record("frame");
    requestAnimationFrame(frame);
  };
  frame();
}

addEventListener("error", (event) => record("error", String(event.error ?? event.message)));
addEventListener("unhandledrejection", (event) => record("error", String(event.reason)));
