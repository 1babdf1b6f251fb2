/// Which page an address leads to; whoever is not signed in is asked to sign in first, and comes back.
import { useQuery } from "@tanstack/react-query";
import { createContext, lazy, Suspense, useContext } from "react";
import { Redirect, Route, Switch, useLocation, useSearch } from "wouter";
import { api, type Me, Refused, take } from "./api/client";
import { Boundary } from "./components/boundary";
import { Failed, Loading } from "./components/notes";
import { Shell } from "./components/shell";
import { CheckpointsPage } from "./pages/checkpoints/page";
import { HomePage } from "./pages/home/page";
import { MissingPage } from "./pages/missing/page";
import { SignInPage } from "./pages/sign-in/page";

const ClusterPage = lazy(() => import("./pages/cluster/page"));
const UsagePage = lazy(() => import("./pages/usage/page"));
const ComparePage = lazy(() => import("./pages/compare/page"));
const RunPage = lazy(() => import("./pages/run/page"));

const Person = createContext<Me | null>(null);

/** Who is signed in. */
export function useMe(): Me {
  const me = useContext(Person);
  if (me === null) throw new Error("nobody is signed in here");
  return me;
}

export function App() {
  return (
    <Switch>
      <Route path="/sign-in" component={SignInPage} />
      <Route component={ForPeople} />
    </Switch>
  );
}

function ForPeople() {
  const me = useQuery({ queryKey: ["me"], queryFn: () => take(api.GET("/api/console/me")) });
  const [location] = useLocation();
  const search = useSearch();
  if (me.error instanceof Refused && me.error.status === 401) {
    const here = location + (search ? `?${search}` : "");
    return (
      <Redirect
        to={here === "/" ? "/sign-in" : `/sign-in?next=${encodeURIComponent(here)}`}
        replace
      />
    );
  }
  if (me.error) return <Failed error={me.error} retry={() => me.refetch()} />;
  if (!me.data) return <Loading what="the dashboard" />;
  return (
    <Person.Provider value={me.data}>
      <Shell me={me.data}>
        <Boundary place={location}>
          <Suspense fallback={<Loading what="the page" />}>
            <Pages />
          </Suspense>
        </Boundary>
      </Shell>
    </Person.Provider>
  );
}

function Pages() {
  return (
    <Switch>
      <Route path="/" component={HomePage} />
      <Route path="/runs" component={HomePage} />
      <Route path="/runs/:run/:tab?" component={RunPage} />
      <Route path="/sessions" component={HomePage} />
      <Route path="/sessions/:session" component={HomePage} />
      <Route path="/compare" component={ComparePage} />
      <Route path="/checkpoints" component={CheckpointsPage} />
      <Route path="/cluster" component={ClusterPage} />
      <Route path="/team/usage" component={UsagePage} />
      {/* the addresses that the public client gives */}
      <Route path="/training_runs/:run">
        {({ run }) => <Redirect to={`/runs/${run}`} replace />}
      </Route>
      <Route path="/checkpoints/:run/*?">
        {({ run }) => <Redirect to={`/runs/${run}/checkpoints`} replace />}
      </Route>
      <Route component={MissingPage} />
    </Switch>
  );
}
