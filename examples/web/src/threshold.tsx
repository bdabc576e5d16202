// On the way in. An ordinary login is over before a user could read about it, so it says nothing for a moment.

import { useEffect, useState } from "react";
import { signOut, useAuth } from "./auth";
import { Avatar } from "./avatar";

const SLOW_AFTER_MS = 1_000;

export function Threshold() {
  const { person } = useAuth();
  const isSlow = useIsSlow();
  return (
    <main className="place" data-testid="threshold" data-slow={isSlow}>
      {person !== null && (
        <section className="card threshold" role="status">
          <Avatar name={person.name} />
          <h2>{isSlow ? "Setting up your user" : `Hello, ${person.name}`}</h2>
          <p className="soft">{isSlow ? "This takes longer than usual; you need do nothing." : "One moment."}</p>
          <p className="progress" aria-hidden="true"><i /></p>
          <button type="button" className="quiet" data-testid="sign-out" onClick={signOut}>Sign out</button>
        </section>
      )}
    </main>
  );
}

function useIsSlow(): boolean {
  const [isSlow, setIsSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setIsSlow(true), SLOW_AFTER_MS);
    return () => clearTimeout(timer);
  }, []);
  return isSlow;
}
