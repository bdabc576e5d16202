// The shown part of a host operation's answer: its text, without the parts that differ from run to run.

const MASKS = [
  [/"continueCursor":"[^"]*"/g, '"continueCursor":"<cursor>"'],
  [/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, "<token>"],
  [/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<uuid>"],
  [/token=[\w-]+/g, "token=<token>"],
  [/https?:\/\/127\.0\.0\.1:\d+/g, "<origin>"],
  [/\b[0-9a-hjkmnp-tv-z]{31,37}\b/g, "<id>"],
  [/"\$integer":"[^"]*"/g, '"$integer":"<int64>"'],
  [/"requestId":"[0-9a-f]{16}"/g, '"requestId":"<id>"'],
  [/"ip":"127\.0\.0\.1","userAgent":"node"/g, '"ip":"<ip>","userAgent":"<agent>"'],
  [/\b\d{10,}(\.\d+)?\b/g, "<time>"],
];

/** `known` are ids by their names. */
export function shown({ ok, error, data }, known) {
  let text = ok !== undefined ? `= ${ok}` : `! ${error}${data === undefined ? "" : ` ${data}`}`;
  for (const [name, id] of Object.entries(known)) text = text.replaceAll(id, `<${name}>`);
  for (const [pattern, mask] of MASKS) text = text.replace(pattern, mask);
  return text;
}
