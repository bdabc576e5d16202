// Puts the app together: the client, the signed-in user, and the mutation that makes their document.

import { UserProvisioningProvider } from "@vestibule/react";
import { ConvexReactClient } from "convex/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { api } from "./api";
import { App } from "./app";
import { useAuth } from "./auth";
import { SERVER } from "./server";
import "../../chat/assets/style.css";
import "./app.css";

const client = new ConvexReactClient(SERVER, { unsavedChangesWarning: false });

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <UserProvisioningProvider client={client} useAuth={useAuth} ensureUser={api.users.ensureUser}>
      <App />
    </UserProvisioningProvider>
  </StrictMode>,
);
