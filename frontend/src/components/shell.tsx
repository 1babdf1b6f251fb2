/// What stands around every page: the name, the ways, who is signed in, the keys.
import * as Menu from "@radix-ui/react-dropdown-menu";
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { api, type Me, take } from "../api/client";
import { keysAreOn, switchKeys, useKeys } from "../lib/keys";
import { chooseTheme, chosenTheme, type Theme } from "../lib/theme";

const WAYS = [
  { to: "/", text: "Runs", at: /^\/($|runs|sessions)/ },
  { to: "/checkpoints", text: "Checkpoints", at: /^\/checkpoints/ },
  { to: "/cluster", text: "Cluster", at: /^\/cluster/ },
  { to: "/team/usage", text: "Usage", at: /^\/team\/usage/ },
];
const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };

export function Logo() {
  return (
    <svg className="logo" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" />
      <path d="M8 10h16M16 10v14" />
    </svg>
  );
}

export function Shell({ me, children }: { me: Me; children: ReactNode }) {
  const [location, navigate] = useLocation();
  const sheet = useRef<HTMLDialogElement>(null);
  const ways = useRef<HTMLElement>(null);
  useEffect(() => {
    // on a phone the bar is wider than the screen
    const here = ways.current?.querySelector<HTMLElement>("[aria-current]");
    if (location && here && ways.current) {
      ways.current.scrollLeft = here.offsetLeft - ways.current.offsetLeft - 24;
    }
  }, [location]);
  useKeys({
    "?": () => sheet.current?.showModal(),
    t: () => chooseTheme(NEXT[chosenTheme()]),
    "g r": () => navigate("/"),
    "g k": () => navigate("/checkpoints"),
    "g w": () => navigate("/cluster"),
    "g u": () => navigate("/team/usage"),
  });
  return (
    <>
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <header className="bar">
        <Link to="/" className="home" aria-label="Tinsmith, your runs">
          <Logo />
          <span>Tinsmith</span>
        </Link>
        <nav aria-label="Main" ref={ways}>
          {WAYS.map((way) => (
            <Link
              key={way.to}
              to={way.to}
              aria-current={way.at.test(location) ? "page" : undefined}
            >
              {way.text}
            </Link>
          ))}
          <a href="/docs/">Docs</a>
        </nav>
        <Person me={me} showKeys={() => sheet.current?.showModal()} />
      </header>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      <KeySheet sheet={sheet} />
    </>
  );
}

function Person({ me, showKeys }: { me: Me; showKeys: () => void }) {
  const [theme, setTheme] = useState(chosenTheme());
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const signOut = async () => {
    try {
      await take(api.DELETE("/api/console/session"));
    } catch (error) {
      // whoever leaves this browser to others must know
      window.alert(`You are still signed in: ${error instanceof Error ? error.message : error}`);
      return;
    }
    queries.clear();
    navigate("/sign-in");
  };
  const name = me.name || me.username;
  return (
    <Menu.Root modal={false}>
      <Menu.Trigger className="person" aria-label={`${name}: settings and sign out`}>
        <span className="initial" data-letter={name.slice(0, 1).toUpperCase()} />
        <span className="name">{name}</span>
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Content className="menu" align="end" sideOffset={6} collisionPadding={8}>
          <Menu.Label>{me.teams.map((team) => team.name).join(", ") || "in no team"}</Menu.Label>
          <Menu.RadioGroup
            value={theme}
            onValueChange={(chosen) => {
              chooseTheme(chosen as Theme);
              setTheme(chosen as Theme);
            }}
          >
            {(["system", "light", "dark"] as const).map((one) => (
              <Menu.RadioItem key={one} value={one} onSelect={(event) => event.preventDefault()}>
                <Menu.ItemIndicator>●</Menu.ItemIndicator>
                {one === "system" ? "As the system" : one === "light" ? "Light" : "Dark"}
              </Menu.RadioItem>
            ))}
          </Menu.RadioGroup>
          <Menu.Separator />
          <Menu.Item onSelect={showKeys}>Keys</Menu.Item>
          {me.is_staff && (
            <Menu.Item asChild>
              <a href="/admin/">Administration</a>
            </Menu.Item>
          )}
          <Menu.Item onSelect={signOut}>Sign out</Menu.Item>
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}

const KEYS: [string, string][] = [
  ["?", "this sheet"],
  ["/", "search"],
  ["j  k", "next and previous row or datum"],
  ["Enter", "open the row"],
  ["x  p  d", "choose, publish, delete checkpoints"],
  ["g r", "runs"],
  ["x  c", "choose runs, compare them"],
  ["g k", "checkpoints"],
  ["g w", "cluster, its workers"],
  ["g u", "usage and cost"],
  ["+  -  0", "look closer, further, at all of a timeline"],
  ["←  →", "earlier and later in a timeline"],
  ["[  ]", "previous and next step, or month"],
  ["g o  g l  g b  g c", "a run's overview, rollouts, batches, charts"],
  ["g s  g q", "a run's checkpoints, timeline"],
  ["J  K", "next and previous group"],
  ["s", "colour rollouts by surprise"],
  ["1  …  5  0", "colour a datum by surprise, Δ, advantage, weight, trained; plain"],
  ["t", "light, dark, as the system"],
];

function KeySheet({ sheet }: { sheet: React.RefObject<HTMLDialogElement | null> }) {
  const [on, setOn] = useState(keysAreOn());
  return (
    <dialog ref={sheet} className="sheet" aria-labelledby="keys">
      <h2 id="keys">Keys</h2>
      <dl>
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              {key.split("  ").map((one) => (
                <kbd key={one}>{one}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label className="check">
        <input
          type="checkbox"
          checked={on}
          onChange={(event) => {
            switchKeys(event.target.checked);
            setOn(event.target.checked);
          }}
        />
        Keys without modifiers are on
      </label>
      <form method="dialog">
        <button type="submit" className="button">
          Close
        </button>
      </form>
    </dialog>
  );
}
