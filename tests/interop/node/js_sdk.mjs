// matrix-js-sdk clients, as many as wanted in one process: a line {"id", "client", "command", "arguments"} in, a line
// {"id", "result"} or {"id", "error"} out as soon as it is known. Ends with its input.

import { createInterface } from "node:readline";
import { logger } from "matrix-js-sdk/lib/logger.js";
import { JsSdkClient } from "./js_sdk_client.mjs";

logger.disableAll();
for (const method of ["log", "info", "debug", "warn", "error"]) console[method] = (...said) => process.stderr.write(`${said.join(" ")}\n`);

Math.random = () => 0; // else the library waits up to ten seconds by chance before it backs a key up

const clients = new Map();
const asked = new Set(); // what was asked for, and
const refused = []; // what the server did not serve, whoever asked
const fetched = globalThis.fetch;

globalThis.fetch = async (url, options) => {
  const answer = await fetched(url, options);
  asked.add(`${options?.method ?? "GET"} ${new URL(url).pathname}`);
  if (answer.status >= 400) {
    const { errcode } = await answer.clone().json().catch(() => ({}));
    const method = options?.method ?? "GET";
    refused.push({ method, path: new URL(url).pathname, status: answer.status, errcode });
  }
  return answer;
};
// What the library does on its own account fails on its own account; what it asked for is in `refused`.
process.on("unhandledRejection", (error) => process.stderr.write(`${error.stack ?? error}\n`));

for await (const line of createInterface({ input: process.stdin })) {
  const { id, client, command, arguments: given } = JSON.parse(line);
  answer(client, command, given).then((said) => process.stdout.write(JSON.stringify({ id, ...said }) + "\n"));
}
process.exit(0); // a client's timers would keep it alive

async function answer(name, command, given) {
  try {
    if (command === "requests") return { result: { asked: [...asked], refused } };
    if (!clients.has(name)) clients.set(name, new JsSdkClient());
    const client = clients.get(name);
    if (!JsSdkClient.COMMANDS.has(command)) throw new Error(`unknown command ${command}`);
    if (command === "close") clients.delete(name);
    return { result: (await client[command](given)) ?? null };
  } catch (error) {
    return { error: error.stack ?? String(error) };
  }
}
