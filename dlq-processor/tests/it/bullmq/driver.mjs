// BullMQ in one version, asked over HTTP: POST / with {call, queue, ...}, answered in JSON.
import { createRequire } from "node:module";
import { createServer } from "node:http";

const [packages, port, redis, version] = process.argv.slice(1);
const require = createRequire(`${packages}/x.js`);
const { FlowProducer, Queue, UnrecoverableError, Worker } = require(version);
const Redis = require("ioredis");
const connection = { host: "127.0.0.1", port: Number(redis), maxRetriesPerRequest: null };
const queues = new Map();
const workers = new Map();
const client = new Redis(connection);

// A server that goes away is what some tests are about: nobody is surprised.
const calm = (it) => it.on("error", () => {});
calm(client);

function queueOf({ queue, prefix = "bull" }) {
  if (!queues.has(queue)) queues.set(queue, calm(new Queue(queue, { connection, prefix })));
  return queues.get(queue);
}

// Each run is counted, and kept with what the job held. What a job does is a key of its queue and name.
async function run(queue, job) {
  const runs = await client.rpush(`runs:${queue}:${job.id}`, JSON.stringify({ name: job.name, data: job.data }));
  const does = JSON.parse((await client.get(`does:${queue}:${job.name}`)) ?? "{}");
  if (does.waits) await client.duplicate().blpop(`go:${queue}:${job.name}`, 0);
  if (does.exits) process.exit(1);
  if (does.gives_up) throw new UnrecoverableError(does.gives_up);
  if (does.throws) throw new Error(does.throws);
  if (does.throws_first && runs === 1) throw new Error(does.throws_first);
  if (does.throws_bare !== undefined) throw does.throws_bare;
  return "done";
}

const calls = {
  async add(it) {
    return (await queueOf(it).addBulk(it.jobs)).map((job) => job.id);
  },
  async flow({ tree }) {
    const made = await calm(new FlowProducer({ connection })).add(tree);
    return { parent: made.job.id, children: made.children.map((child) => child.job.id) };
  },
  // Every hour, the first one at once.
  async repeat(it) {
    const queue = queueOf(it);
    const every = { every: 3_600_000 };
    if (queue.upsertJobScheduler) await queue.upsertJobScheduler("hourly", every, { name: it.name, data: it.data });
    else await queue.add(it.name, it.data, { repeat: { ...every, immediately: true } });
    return null;
  },
  async work({ queue, prefix = "bull", opts }) {
    const settings = { connection, prefix, concurrency: 5, ...opts };
    const worker = calm(new Worker(queue, (job) => run(queue, job), settings));
    workers.set(queue, worker);
    await worker.waitUntilReady();
    return null;
  },
  async rest({ queue }) {
    await workers.get(queue)?.close();
    workers.delete(queue);
    return null;
  },
  async pause(it) { await queueOf(it).pause(); return null; },
  async resume(it) { await queueOf(it).resume(); return null; },
  async limit(it) { await queueOf(it).setGlobalConcurrency(it.jobs); return null; },
  async counts(it) { return queueOf(it).getJobCounts(); },
  async state(it) { return (await queueOf(it).getJob(it.job))?.getState() ?? "none"; },
};

createServer(async (request, response) => {
  try {
    const parts = [];
    for await (const part of request) parts.push(part);
    const asked = JSON.parse(Buffer.concat(parts).toString());
    response.end(JSON.stringify(await calls[asked.call](asked)));
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error?.stack ?? error));
  }
}).listen(Number(port), "127.0.0.1");
