/// The build: one page, its files named by their content and packed beside themselves, so that the
/// server need not pack them.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const out = join(import.meta.dirname, "dist");

function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    closeBundle() {
      const assets = join(out, "assets");
      for (const name of readdirSync(assets).filter((file) => /\.(js|css)$/.test(file))) {
        writeFileSync(
          join(assets, `${name}.gz`),
          gzipSync(readFileSync(join(assets, name)), { level: 9 }),
        );
      }
    },
  };
}

export default defineConfig({
  root: "src",
  // where the platform serves the folder `assets` of the build (STATICFILES_DIRS)
  base: "/static/dashboard/",
  plugins: [packed()],
  build: {
    outDir: out,
    emptyOutDir: true,
    // which files a page loads: what a test holds to its size
    manifest: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      // libraries say "use client" to servers, of which there is none
      onLog: (level, log, handle) => {
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") handle(level, log);
      },
      output: { assetFileNames: "assets/[name]-[hash][extname]" },
    },
  },
  experimental: {
    // the folder's own name is no part of the address
    renderBuiltUrl: (file) => `/static/dashboard/${file.replace(/^assets\//, "")}`,
  },
});
