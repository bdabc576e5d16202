import bcrypt from "bcryptjs";
import type { Script } from "./script";

const SALT = "$2b$04$abcdefghijklmnopqrstuu";

export const script: Script = {
  hashes: () => bcrypt.hashSync("correct horse", SALT),
  hashesAsync: () => bcrypt.hash("pässword", SALT),
  compares: async () => {
    const hash = bcrypt.hashSync("correct horse", 4);
    return [await bcrypt.compare("correct horse", hash), await bcrypt.compare("battery staple", hash), bcrypt.getRounds(hash)];
  },
  refuses: () => bcrypt.hashSync("x", "$9z$"),
};
