import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** The backend to which `npm run dev` forwards API requests. The built files are served by Django. */
const BACKEND = process.env.RANKLOOP_BACKEND ?? "http://127.0.0.1:8000";

export default defineConfig({
  base: "/static/",
  plugins: [react()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    target: "es2023",
    // The Content-Security-Policy (font-src 'self') blocks fonts in data: URLs.
    assetsInlineLimit: 0,
    sourcemap: false,
    manifest: true,
  },
  server: { proxy: { "/api": BACKEND, "/healthz": BACKEND } },
  test: {
    // The timeouts are generous, because all other checks run on the same machine at the same time.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // Each test file undoes its changes. Therefore, all test files can share one document and load the libraries
    // only once. This sharing halves the tests' CPU time.
    isolate: false,
    // Creating a document takes longer than running most test files. Therefore, only test files that render
    // components use a document.
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
