// BullMQ in every version that is supported, asked over HTTP: POST / with {version, queue, call, ...}, answered in JSON.
import { createRequire } from "node:module";
import { createServer } from "node:http";

const [packages, port, redis] = process.argv.slice(1);
const require = createRequire(`${packages}/x.js`);
const connection = { host: "127.0.0.1", port: Number(redis), maxRetriesPerRequest: null };
const queues = new Map();
const workers = new Map();

function known(map, version, name, make) {
  const key = `${version} ${name}`;
  if (!map.has(key)) map.set(key, make(require(version)));
  return map.get(key);
}

const queueOf = ({ version, queue, prefix }) =>
  known(queues, version, queue, ({ Queue }) => new Queue(queue, { connection, prefix }));

const calls = {
  async add(it) {
    const jobs = it.jobs.map(({ name, data, opts }) => ({ name, data, opts }));
    return (await queueOf(it).addBulk(jobs)).map((job) => job.id);
  },
  // Each run is counted, and kept with what the job held. A job fails as long as the server has a key `fails` for its name.
  async work(it) {
    const { version, queue, prefix, concurrency, opts } = it;
    const { default: Redis } = await import(require.resolve("ioredis"));
    const client = new Redis(connection);
    const work = async (job) => {
      await client.rpush(`runs:${job.id}`, JSON.stringify({ name: job.name, data: job.data, made: job.attemptsMade }));
      const why = await client.get(`fails:${job.name}`);
      if (why === "null") throw null;
      if (why === "exit") process.exit(1);
      if (why) throw Object.assign(new Error(why), JSON.parse((await client.get(`with:${job.name}`)) ?? "{}"));
      return "done";
    };
    const make = ({ Worker }) => {
      const worker = new Worker(queue, work, { connection, prefix, concurrency: concurrency ?? 5, ...opts });
      worker.on("error", () => {});
      return worker;
    };
    await known(workers, version, queue, make).waitUntilReady();
    return null;
  },
  async rest({ version, queue }) {
    const key = `${version} ${queue}`;
    await workers.get(key)?.close();
    workers.delete(key);
    return null;
  },
  async pause(it) { await queueOf(it).pause(); return null; },
  async resume(it) { await queueOf(it).resume(); return null; },
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
