/// Sign in with a name and a password, and go on to where one wanted to go.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { useLocation, useSearch } from "wouter";
import { api, take } from "../../api/client";
import { Logo } from "../../components/shell";

/** Where to go afterwards: a page of ours, whatever the address says. */
export function following(search: string): string {
  const asked = new URLSearchParams(search).get("next") ?? "/";
  return asked.startsWith("/") && !asked.startsWith("//") && !asked.includes("\\") ? asked : "/";
}

export function SignInPage() {
  const search = useSearch();
  const [, navigate] = useLocation();
  const queries = useQueryClient();
  const signIn = useMutation({
    mutationFn: (given: { username: string; password: string }) =>
      take(api.POST("/api/console/session", { body: given })),
    onSuccess: async () => {
      await queries.resetQueries({ queryKey: ["me"] });
      navigate(following(search), { replace: true });
    },
  });
  useEffect(() => {
    document.title = "Sign in · Tinsmith";
  }, []);
  const used = new URLSearchParams(search).has("used");
  return (
    <main className="sign-in">
      <form
        className="card"
        onSubmit={(event) => {
          event.preventDefault();
          const given = new FormData(event.currentTarget);
          signIn.mutate({
            username: String(given.get("username")),
            password: String(given.get("password")),
          });
        }}
      >
        <Logo />
        <h1>Sign in to Tinsmith</h1>
        {used && (
          <p className="hint">
            That link has been used, or is too old. Links sign in once, for an hour.
          </p>
        )}
        <label>
          Name
          <input
            name="username"
            autoComplete="username"
            required
            autoCapitalize="none"
            spellCheck="false"
          />
        </label>
        <label>
          Password
          <input name="password" type="password" autoComplete="current-password" required />
        </label>
        <p className="complaint" role="alert">
          {signIn.error?.message}
        </p>
        <button type="submit" className="button" disabled={signIn.isPending}>
          {signIn.isPending ? "Signing in …" : "Sign in"}
        </button>
        <p className="hint">
          Names and passwords come from whoever runs this server. <a href="/docs/">Documentation</a>
        </p>
      </form>
    </main>
  );
}
