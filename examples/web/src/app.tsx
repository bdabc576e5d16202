// The page for each state of a login: three places, of which one is on the screen.

import { Provisioned, Provisioning, Unprovisioned } from "@vestibule/react";
import { useQuery } from "convex/react";
import { api } from "./api";
import { Chat } from "./chat";
import { Outside } from "./outside";
import { Threshold } from "./threshold";

export function App() {
  return (
    <>
      <Top />
      <Provisioning><Threshold /></Provisioning>
      <Unprovisioned><Outside /></Unprovisioned>
      <Provisioned><Chat /></Provisioned>
    </>
  );
}

function Top() {
  // Public: it needs no user, so the official hook does.
  const count = useQuery(api.users.count, {});
  return (
    <header className="top">
      <h1><img src="/favicon.svg" alt="" width="28" height="28" /> Vestibule <span>web</span></h1>
      <p className="people"><b data-testid="user-count">{count ?? "–"}</b> {count === 1 ? "user" : "users"}</p>
    </header>
  );
}
