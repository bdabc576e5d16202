// The server people write by hand: one Node process, ws, a pool of connections to PostgreSQL. A transfer is one
// SERIALIZABLE transaction that is tried again when PostgreSQL could not put it in order; its answer leaves when the
// transaction is durable.

import { setTimeout as wait } from "node:timers/promises";
import pg from "pg";
import { WebSocketServer } from "ws";
import { Life, readOptions, serve, wholeNumber } from "../wire.mjs";
import { startCluster } from "./cluster.mjs";

// More connections share more syncs, up to the point where they only conflict: this many did best on two cores.
const CONNECTIONS = 8;
const ATTEMPTS_MAX = 100;
const PAUSE_MILLISECONDS_MAX = 32;
const SERIALIZATION_FAILURE = "40001";
const DEADLOCK_DETECTED = "40P01";

const READ = { name: "read", text: "SELECT id, balance FROM accounts WHERE id = ANY($1)" };
const WRITE = {
  name: "write",
  text: `UPDATE accounts SET balance = balance + CASE WHEN id = $1 THEN -$3::bigint ELSE 0 END
    + CASE WHEN id = $2 THEN $3::bigint ELSE 0 END WHERE id = ANY(ARRAY[$1::bigint, $2::bigint])`,
};

let retries = 0;
const options = readOptions();
const life = new Life();
try {
  const cluster = await startCluster(life, CONNECTIONS);
  const pool = new pg.Pool({ host: cluster.host, user: cluster.user, database: "postgres", max: CONNECTIONS, idleTimeoutMillis: 0 });
  life.atEnd(() => pool.end());
  pool.on("error", (error) => life.isEnding || console.error(error));
  await fill(pool, options);
  serve({ WebSocketServer, port: options.port, functions: functions(pool, cluster), life });
} catch (error) {
  if (!life.isEnding) console.error(error.message);
  life.end(1);
}

async function fill(pool, { accounts, balance }) {
  await pool.query("CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 80)");
  await pool.query("INSERT INTO accounts SELECT id, $2 FROM generate_series(0, $1::bigint - 1) AS id", [accounts, balance]);
  await pool.query("VACUUM ANALYZE accounts");
  await pool.query("CHECKPOINT");
}

function functions(pool, cluster) {
  return {
    "accounts:transfer": ({ from, to, amount }) =>
      transfer(pool, wholeNumber("from", from), wholeNumber("to", to), wholeNumber("amount", amount)),
    "accounts:total": async () => {
      const { rows } = await pool.query("SELECT coalesce(sum(balance), 0) AS total FROM accounts");
      return Number(rows[0].total);
    },
    "server:stats": () => ({ retries, pids: [process.pid, ...cluster.pids()] }),
  };
}

async function transfer(pool, from, to, amount) {
  const connection = await pool.connect();
  try {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await attemptTransfer(connection, from, to, amount);
      } catch (error) {
        await connection.query("ROLLBACK");
        const again = error.code === SERIALIZATION_FAILURE || error.code === DEADLOCK_DETECTED;
        if (!again || attempt === ATTEMPTS_MAX) throw error;
      }
      retries += 1;
      await wait(Math.random() * Math.min(2 ** attempt, PAUSE_MILLISECONDS_MAX));
    }
  } finally {
    connection.release();
  }
}

async function attemptTransfer(connection, from, to, amount) {
  await connection.query("BEGIN ISOLATION LEVEL SERIALIZABLE");
  const { rows } = await connection.query({ ...READ, values: [[from, to]] });
  const balances = new Map(rows.map(({ id, balance }) => [Number(id), Number(balance)]));
  if (!balances.has(from) || !balances.has(to)) throw new Error("there is no such account");
  if (balances.get(from) < amount) throw new Error("insufficient funds");
  await connection.query({ ...WRITE, values: [from, to, amount] });
  await connection.query("COMMIT");
  return null;
}
