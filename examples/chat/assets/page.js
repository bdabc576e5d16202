// Small things every part of the page uses: elements, error texts, the banner, avatars.

export const byId = (id) => document.getElementById(id);

/** The data an application error carries, undefined for any other error. */
export const dataOf = (error) => (error?.name === "ConvexError" ? error.data : undefined);

/** One line for a reader; a plain failure's message goes on with where the client called from. */
export const textOf = (error) => dataOf(error)?.code ?? String(error?.message ?? error).split("\n")[0];

export function showError(error) {
  byId("banner-text").textContent = textOf(error);
  byId("banner").hidden = false;
}

export function hideError() {
  byId("banner").hidden = true;
}

export function paintAvatar(avatar, key, name) {
  let hue = 0;
  for (const letter of key) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  avatar.textContent = (name.trim()[0] ?? "").toUpperCase();
  avatar.style.setProperty("--hue", hue);
}
