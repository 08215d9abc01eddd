// Compares a fresh build with the committed one: the same files with the same content, and each .gz and .br of its own file.
// Compressed bytes differ between versions of zlib, so those are compared by what is in them.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync, gunzipSync } from "node:zlib";

const [committed, fresh] = process.argv.slice(2);
const files = (folder) =>
  readdirSync(folder, { recursive: true }).filter((name) => statSync(join(folder, name)).isFile()).sort();
const content = (path) => {
  const raw = readFileSync(path);
  return path.endsWith(".gz") ? gunzipSync(raw) : path.endsWith(".br") ? brotliDecompressSync(raw) : raw;
};

const [old, now] = [files(committed), files(fresh)];
const wrong = [...old, ...now].filter((name) => !old.includes(name) || !now.includes(name));
for (const name of old) {
  if (now.includes(name) && !content(join(committed, name)).equals(content(join(fresh, name)))) wrong.push(name);
}
if (wrong.length) {
  console.error(`ui: the committed build is not what ui/ builds; run \`make ui\` and commit it. Different: ${[...new Set(wrong)].join(", ")}`);
  process.exit(1);
}
console.log(`ui: the committed build equals a fresh one (${old.length} files)`);
