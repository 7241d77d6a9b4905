// What a user of RunPod's JavaScript SDK does, in order; the last line of the output holds what the SDK gave, as JSON.
//   node session.js URL KEY QUEUE STREAMING SHUT
// QUEUE has SDK workers, STREAMING has generators, SHUT never has a worker.
import runpodSdk from "runpod-sdk";

const [url, key, queue, streaming, shut] = process.argv.slice(2);
const sdk = runpodSdk(key, { baseUrl: `${url}/v2` });
const jobs = sdk.endpoint(queue);
const chunks = sdk.endpoint(streaming);
const idle = sdk.endpoint(shut);
const given = {};

given.runSync = await jobs.runSync({ input: { echo: "sync" } });
given.failed = await jobs.runSync({ input: { fail: "no such voice" } });

given.run = await jobs.run({ input: { echo: "later" } });
given.statusSync = await jobs.statusSync(given.run.id);
given.status = await jobs.status(given.run.id);

const count = await chunks.run({ input: { count: 3 } });
given.stream = [];
for await (const chunk of chunks.stream(count.id)) given.stream.push(chunk);

const waiting = await idle.run({ input: { echo: 1 } });
given.waiting = await idle.status(waiting.id);
given.cancel = await idle.cancel(waiting.id);
given.cancelled = await idle.status(waiting.id);
await idle.run({ input: { echo: 2 } });
given.health = await idle.health();
given.purge = await idle.purgeQueue();

const stranger = runpodSdk("wrong", { baseUrl: `${url}/v2` }).endpoint(queue);
given.stranger = await stranger.health().then(() => 200, (error) => error.response.status);

console.log(JSON.stringify(given));
