// The browser of the suites: Debian's Chromium, or whichever is installed.

import assert from "node:assert/strict";
import { accessSync, constants } from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** Starts a browser without a window. */
export const launch = () => chromium.launch({ executablePath: findChromium(), args: FLAGS });

function installed() {
  const folders = (process.env.PATH ?? "").split(path.delimiter);
  const candidates = NAMES.flatMap((name) => folders.map((folder) => path.join(folder, name)));
  return [process.env.CHROMIUM, ...candidates].find((candidate) => {
    try {
      accessSync(candidate, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function findChromium() {
  const found = installed();
  assert.ok(found, "no Chromium: run `tests/setup`, or set CHROMIUM to the path of a Chromium or Chrome");
  return found;
}
