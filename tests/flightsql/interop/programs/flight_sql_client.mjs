// @lakehouse-rs/flight-sql-client: answers a request per line of its input with a line of its output, in JSON.

import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(process.argv[3] + "/");
const { createFlightSqlClient } = require("@lakehouse-rs/flight-sql-client");
const { tableFromIPC } = require("apache-arrow");

const client = await createFlightSqlClient({
  host: "127.0.0.1",
  port: Number(process.argv[2]),
  tls: false,
  headers: [],
});

async function ask(request) {
  if (request.ask === "tables") {
    const tables = tableFromIPC(await client.getTables({ dbSchemaFilterPattern: "public", includeSchema: true }));
    return tables.toArray().map((row) => row.table_name).sort();
  }
  return tableFromIPC(await client.query(request.sql)).toArray().map((row) => row.toJSON());
}

function plain(key, value) {
  if (typeof value === "bigint") return Number(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await ask(JSON.parse(line)).then((rows) => ({ rows }), (e) => ({ error: e.message }));
  console.log(JSON.stringify(answer, plain));
}
