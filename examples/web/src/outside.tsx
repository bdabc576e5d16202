// Outside: the user is signed out, or was not let in and sees why.

import { useUserProvisioning, type UserProvisioning } from "@vestibule/react";
import type { FormEvent } from "react";
import { changeEmail, signIn, signOut, useAuth } from "./auth";

const PICKS = ["Ada", "Grace", "Linus"];

export function Outside() {
  const provisioning = useUserProvisioning();
  return (
    <main className="place">
      {provisioning.error === null ? <SignIn /> : <TurnedAway {...provisioning} error={provisioning.error} />}
    </main>
  );
}

function SignIn() {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    signIn({ name: String(form.get("name")).trim(), email: String(form.get("email")).trim() });
  };
  return (
    <section className="card" data-testid="signed-out" aria-labelledby="sign-in">
      <h2 id="sign-in">Sign in as anybody</h2>
      <form autoComplete="off" onSubmit={submit}>
        <div className="picks" role="group" aria-label="Quick picks">
          {PICKS.map((name) => (
            <button key={name} type="button" className="second" data-testid="pick" onClick={() => signIn({ name, email: "" })}>{name}</button>
          ))}
        </div>
        <label htmlFor="name">Name</label>
        <input id="name" name="name" data-testid="name" required pattern=".*[\p{L}\p{N}].*" maxLength={60} placeholder="Ada Lovelace" />
        <label htmlFor="email">E-mail <span className="soft">optional</span></label>
        <input id="email" name="email" data-testid="email" type="email" maxLength={120} placeholder="ada@example.com" />
        <button type="submit" data-testid="submit">Sign in</button>
      </form>
    </section>
  );
}

function TurnedAway({ status, error, retry }: UserProvisioning & { error: NonNullable<UserProvisioning["error"]> }) {
  const { person } = useAuth();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    changeEmail(String(new FormData(event.currentTarget).get("email")).trim());
    retry();
  };
  return (
    <section className="card" data-testid={status} aria-labelledby="turned-away">
      <h2 id="turned-away">{status === "refused" ? "Not let in" : "That did not work"}</h2>
      <p className="refusal" role="alert"><b data-testid="error">{error.message}</b></p>
      <p className="soft">Signed in as {[person?.name, person?.email].filter(Boolean).join(" · ")}.</p>
      <form autoComplete="off" onSubmit={submit}>
        {status === "refused" && (
          <>
            <label htmlFor="other-email">Another address of yours</label>
            <input id="other-email" name="email" data-testid="other-email" type="email" required maxLength={120} placeholder="ada@example.com" />
          </>
        )}
        <div className="row">
          <button type={status === "refused" ? "submit" : "button"} data-testid="retry" onClick={status === "refused" ? undefined : retry}>Try again</button>
          <button type="button" className="second" data-testid="sign-out" onClick={signOut}>Sign out</button>
        </div>
      </form>
    </section>
  );
}
