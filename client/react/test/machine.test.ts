// The mirror against the table that the server's machine is checked against.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { INITIAL, step, type Effect, type Event, type State } from "../src/machine.js";

interface Case {
  name: string;
  steps: { event: Event; state: State; effects: Effect[] }[];
}

const table = new URL("../../../schema/provisioning-cases.json", import.meta.url);
const cases = JSON.parse(readFileSync(table, "utf8")) as Case[];

test.each(cases)("$name", ({ steps }) => {
  let state = INITIAL;
  for (const { event, state: expected, effects } of steps) {
    const [next, came] = step(state, event);
    expect(next).toEqual(expected);
    expect(came).toEqual(effects);
    state = next;
  }
});

test("the table is there", () => expect(cases.length).toBeGreaterThan(10));
