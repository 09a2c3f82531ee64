import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** Where `npm run dev` finds Django; the built files are served by Django itself. */
const BACKEND = process.env.RANKLOOP_BACKEND ?? "http://127.0.0.1:8000";

export default defineConfig({
  base: "/static/",
  plugins: [react()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    target: "es2023",
    // A data: URL for a font would be refused by the page's own Content-Security-Policy (font-src 'self').
    assetsInlineLimit: 0,
    sourcemap: false,
    manifest: true,
  },
  server: { proxy: { "/api": BACKEND, "/healthz": BACKEND } },
  test: {
    // They run beside everything else the checks run: what waits fails when it does not come, not when it is late.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // Every file puts back what it changed, so one document and one load of the libraries serve
    // all: half of the processor's time that one of each per file takes.
    isolate: false,
    // A document costs more to make than most files take to test: only what renders has one.
    projects: [
      { extends: true, test: { name: "logic", environment: "node", include: ["src/**/*.test.ts"] } },
      {
        extends: true,
        test: {
          name: "page",
          environment: "jsdom",
          include: ["src/**/*.test.tsx"],
          setupFiles: ["src/shared/testing.ts"],
        },
      },
    ],
  },
});
