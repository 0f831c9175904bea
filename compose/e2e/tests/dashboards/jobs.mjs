// Puts jobs into a queue of BullMQ. Arguments: the folder of npm's packages, the address of Redis.
import { createRequire } from "node:module";

const [packages, redis] = process.argv.slice(2);
const { Queue } = createRequire(packages + "/")("bullmq-5-58");

const queue = new Queue("orders", { connection: { url: redis } });
await queue.addBulk([1, 2].map((number) => ({ name: "ship", data: { number } })));
await queue.close();
