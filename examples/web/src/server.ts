// Where the server is.

/** The address of the server: the chat's own unless `VITE_CONVEX_URL` names another. */
export const SERVER: string = import.meta.env.VITE_CONVEX_URL ?? "http://127.0.0.1:3210";
