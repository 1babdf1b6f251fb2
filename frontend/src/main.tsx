/// The dashboard's beginning.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Refused } from "./api/client";
import { App } from "./app";
import { startTheme } from "./lib/theme";
// in this order: what is narrow overrides what stands before it
import "./design/tokens.css";
import "./design/base.css";
import "./components/shell.css";
import "./components/controls.css";
import "./design/cards.css";
import "./design/tables.css";
import "./pages/sign-in/page.css";
import "./design/narrow.css";
import "./pages/run/page.css";
import "./pages/overview/page.css";
import "./pages/charts/page.css";
import "./pages/rollouts/page.css";
import "./pages/timeline/page.css";
import "./pages/batches/page.css";
import "./pages/about/page.css";
import "./pages/usage/page.css";
import "./pages/home/since.css";
import "./pages/cluster/page.css";
import "./pages/checkpoints/page.css";
import "./pages/compare/page.css";
import "./pages/run/narrow.css";
import "uplot/dist/uPlot.min.css";

startTheme();

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1_000,
      // what the server refuses it will refuse again
      retry: (failures, error) => !(error instanceof Refused && error.status < 500) && failures < 3,
    },
  },
});

// a page that was open during an upgrade asks for files that are gone: it begins again, but not for ever
window.addEventListener("vite:preloadError", () => {
  const last = Number(sessionStorage.getItem("tinsmith.reloaded") ?? 0);
  if (Date.now() - last < 60_000) return;
  sessionStorage.setItem("tinsmith.reloaded", String(Date.now()));
  window.location.reload();
});

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <App />
      </QueryClientProvider>
    </StrictMode>,
  );
}
