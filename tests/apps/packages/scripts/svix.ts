import { Webhook } from "svix";
import { type Script, thrown } from "./script";

const webhook = () => new Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
const body = '{"type":"user.created","data":{"id":"user_1"}}';
const headers = () => {
  const now = new Date();
  return { "svix-id": "msg_1", "svix-timestamp": `${Math.floor(now.getTime() / 1000)}`, "svix-signature": webhook().sign("msg_1", now, body) };
};

export const script: Script = {
  signs: () => webhook().sign("msg_p5jXN8AQM9LWM0D4loKWxJek", new Date(1614265330000), '{"test": 2432232314}'),
  verifies: () => webhook().verify(body, headers()),
  refusesOtherBody: () => webhook().verify(`${body} `, headers()),
  refusesOldOnes: () => thrown(() => webhook().verify(body, { ...headers(), "svix-timestamp": "1614265330" })),
  refusesWithoutHeaders: () => webhook().verify(body, {}),
  takesOneOfSeveral: () => webhook().verify(body, { ...headers(), "svix-signature": `v1,AAAA v1a,x ${headers()["svix-signature"]}` }),
};
