import { defineConfig } from "vite";

// Relative addresses: the page works under any path. `npm run dev` shows a service that runs on port 8000.
export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: process.env.UI_OUT ?? "../service/static/ui",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 300,
  },
  server: {
    proxy: Object.fromEntries(
      ["/v1", "/props", "/health", "/metrics", "/tokenize", "/detokenize", "/completion", "/docs", "/static"].map((path) => [
        path,
        "http://localhost:8000",
      ]),
    ),
  },
});
