// A person's first letter on a colour of their own.

import type { CSSProperties } from "react";

export function Avatar({ name }: { name: string }) {
  let hue = 0;
  for (const letter of name) hue = (hue * 31 + letter.codePointAt(0)!) % 360;
  return <span className="avatar" aria-hidden="true" style={{ "--hue": hue } as CSSProperties}>{name.trim().slice(0, 1).toUpperCase()}</span>;
}
