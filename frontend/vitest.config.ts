/// Tests of components and of what they are made of, in a browser that is none.
import { defineConfig } from "vitest/config";

export default defineConfig({
  root: "src",
  test: {
    environment: "jsdom",
    include: ["**/*.test.{ts,tsx}"],
    css: true,
    setupFiles: ["./test-setup.ts"],
  },
});
