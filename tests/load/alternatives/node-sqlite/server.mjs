// The server people write by hand: one Node process, ws, better-sqlite3. A transfer is one transaction, and its answer
// leaves when the transaction is durable (WAL with synchronous=FULL).

import path from "node:path";
import Database from "better-sqlite3";
import { WebSocketServer } from "ws";
import { Life, readOptions, serve, wholeNumber } from "../wire.mjs";

const CACHE_KIBIBYTES = 64 * 1024;

const options = readOptions();
const life = new Life();
const database = open(path.join(life.directory("node-sqlite"), "accounts.db"));
life.atEnd(() => database.close());
fill(options);
serve({ WebSocketServer, port: options.port, functions: functions(), life });

function open(file) {
  const database = new Database(file);
  database.pragma("journal_mode = WAL");
  database.pragma("synchronous = FULL");
  database.pragma(`cache_size = -${CACHE_KIBIBYTES}`);
  database.exec("CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL) STRICT");
  return database;
}

function fill({ accounts, balance }) {
  const insert = database.prepare("INSERT INTO accounts (id, balance) VALUES (?, ?)");
  database.transaction(() => {
    for (let id = 0; id < accounts; id += 1) insert.run(id, balance);
  })();
  database.pragma("wal_checkpoint(TRUNCATE)");
}

function functions() {
  const balanceOf = database.prepare("SELECT balance FROM accounts WHERE id = ?").pluck();
  const add = database.prepare("UPDATE accounts SET balance = balance + ? WHERE id = ?");
  const total = database.prepare("SELECT coalesce(sum(balance), 0) FROM accounts").pluck();

  const transfer = database.transaction((from, to, amount) => {
    const available = balanceOf.get(from);
    if (available === undefined || balanceOf.get(to) === undefined) throw new Error("there is no such account");
    if (available < amount) throw new Error("insufficient funds");
    add.run(-amount, from);
    add.run(amount, to);
  });

  return {
    "accounts:transfer": ({ from, to, amount }) => {
      transfer.immediate(wholeNumber("from", from), wholeNumber("to", to), wholeNumber("amount", amount));
      return null;
    },
    "accounts:total": () => total.get(),
    "server:stats": () => ({ retries: 0, pids: [process.pid] }),
  };
}
