export default {
  providers: [
    { type: "customJwt", applicationID: "convex", issuer: process.env.ISSUER_URL!, jwks: `${process.env.ISSUER_URL}/keys`, algorithm: "RS256" },
  ],
};
