import { defineConfig } from "vite";

// The build is committed, so that nobody needs Node to use the pages: names without hashes keep
// differences small, and everything that pages need is in the folder.
export default defineConfig({
  base: "/static/",
  build: {
    outDir: "../src/dosegrad/web/static",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: "[name].js",
        assetFileNames: "[name][extname]",
      },
    },
  },
  server: {
    proxy: {
      "/api": { target: "http://127.0.0.1:8000", ws: true },
    },
  },
});
