// @gizmodata/gizmosql-client: answers a request per line of its input with a line of its output, in JSON.

import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(process.argv[3] + "/");
const { FlightSQLClient } = require("@gizmodata/gizmosql-client");

const client = new FlightSQLClient({ host: "127.0.0.1", port: Number(process.argv[2]), plaintext: true });

async function ask(request) {
  if (request.ask === "tables") {
    const tables = await client.getTables(undefined, "public");
    return tables.map((table) => table.tableName).sort();
  }
  return (await client.execute(request.sql)).toArray().map((row) => row.toJSON());
}

function plain(key, value) {
  if (typeof value === "bigint") return Number(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await ask(JSON.parse(line)).then((rows) => ({ rows }), (e) => ({ error: e.message }));
  console.log(JSON.stringify(answer, plain));
}
await client.close();
