// Shared by modules of both kinds.
export const shout = (text: string) => `${text.toUpperCase()}!`;
export function fail(what: string): never {
  throw new TypeError(`no ${what}`);
}
