// node's `pg` reads from `materia postgres`: client.cjs URL
const assert = require("node:assert");
const { Client } = require("pg");

async function main() {
  const client = new Client(process.argv[2]);
  await client.connect();
  const one = async (text, values) => (await client.query(text, values)).rows;
  assert.deepStrictEqual(await one("SELECT count(*)::int AS n FROM psd WHERE year >= $1 AND country = $2", [2010, "country 1"]), [{ n: 71 }]);
  const [row] = await one("SELECT id, boolean, big, decimal, double, text, ints, texts, struct, json, blob FROM types WHERE id = 1");
  assert.deepStrictEqual(row, {
    id: 1, boolean: true, big: "3", decimal: "12345.67", double: -0.1, text: "ä'b\\c", ints: [1, null, 3], texts: ["a", "b,c", null],
    struct: { a: 1, b: "x" }, json: { j: [1] }, blob: Buffer.from([0xde, 0xad]),
  });
  await client.query("BEGIN");
  const prepared = { name: "by year", text: "SELECT count(*)::int AS n FROM psd WHERE year = $1", values: ["2001"] };
  assert.strictEqual((await client.query(prepared)).rows[0].n, 50);
  assert.strictEqual((await client.query(prepared)).rows[0].n, 50);
  await client.query("COMMIT");
  await assert.rejects(client.query("SELECT * FROM nothing"), { code: "42P01" });
  await client.end();
}

main().catch((error) => { console.error(error); process.exit(1); });
