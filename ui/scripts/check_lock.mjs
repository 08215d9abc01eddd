// The lock file names versions and hashes; where packages come from is each machine's own setting.
import { readFileSync, writeFileSync } from "node:fs";

const path = new URL("../package-lock.json", import.meta.url).pathname;
const lock = JSON.parse(readFileSync(path, "utf8"));
const named = Object.entries(lock.packages).filter(([, entry]) => "resolved" in entry);
if (process.argv.includes("--fix")) {
  for (const [, entry] of named) delete entry.resolved;
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
} else if (named.length) {
  console.error(`ui: package-lock.json has addresses of ${named.length} packages; run \`node ui/scripts/check_lock.mjs --fix\``);
  process.exit(1);
}
for (const [name, entry] of Object.entries(lock.packages)) {
  if (name && !entry.link && !entry.integrity) throw new Error(`ui: ${name} has no hash in package-lock.json`);
}
