// One client, driven over standard input and output: a line {"command", "arguments"} in, a line {"result"} or
// {"error"} out, in order. Ends with its input.

import { createInterface } from "node:readline";
import { Client } from "./client.mjs";

const COMMANDS = new Set(["register", "login", "create_room", "join", "send", "sync", "owner_signed"]);
const client = new Client();

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + "\n");
}

async function answer({ command, arguments: given }) {
  try {
    if (!COMMANDS.has(command)) throw new Error(`unknown command ${command}`);
    return { result: await client[command](given) };
  } catch (error) {
    return { error: error.stack ?? String(error) };
  }
}
