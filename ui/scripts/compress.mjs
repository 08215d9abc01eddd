// Writes each built file as .gz and .br beside itself, so that the service compresses nothing while it runs.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const built = process.env.UI_OUT ?? new URL("../../service/static/ui", import.meta.url).pathname;
const least = 500;
const page = readFileSync(join(built, "index.html"), "utf8");
let first = 0;

for (const name of readdirSync(built, { recursive: true })) {
  if (!/\.(js|css|html|svg)$/.test(name)) continue;
  const path = join(built, name);
  const content = readFileSync(path);
  if (content.length < least) continue;
  const gzip = gzipSync(content, { level: 9 });
  const brotli = brotliCompressSync(content, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length },
  });
  writeFileSync(`${path}.gz`, gzip);
  writeFileSync(`${path}.br`, brotli);
  // What the page names is fetched before it shows anything; the rest comes when it is needed.
  if (name === "index.html" || page.includes(name)) first += gzip.length;
  console.log(`${name}: ${content.length} bytes, gzip ${gzip.length}, brotli ${brotli.length}`);
}
console.log(`first paint: ${first} bytes with gzip`);
if (first > 120_000) throw new Error("the first paint is to stay within 120 kB");
