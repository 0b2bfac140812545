// A Matrix client as small as one can be around an OlmMachine: the machine says which requests it wants sent,
// this file sends them. Only one call may run at a time; the driver sees to that.

import { randomUUID } from "node:crypto";
import {
  CollectStrategy,
  DecryptionSettings,
  DeviceId,
  DeviceLists,
  EncryptionSettings,
  OlmMachine,
  RequestType,
  RoomId,
  TrustRequirement,
  UserId,
} from "@matrix-org/matrix-sdk-crypto-wasm";

const ALGORITHM = "m.megolm.v1.aes-sha2";
const TRUST = { any: TrustRequirement.Untrusted, owner_signed: TrustRequirement.CrossSigned };
const STRATEGY = { any: CollectStrategy.allDevices, owner_signed: CollectStrategy.identityBasedStrategy };

export class Client {
  #url;
  #token;
  #machine;
  #since;
  #members = new Map(); // room id -> Set of joined user ids
  #undecrypted = []; // events whose key has not come yet, each with its room id

  /** Sign up, make the device's keys and a cross-signing identity that signs the device. */
  async register({ url, username, password }) {
    this.#url = url;
    const account = await this.#call("POST", "/register", {
      username,
      password,
      auth: { type: "m.login.dummy" },
    });
    return this.#begin(account);
  }

  /** Log in to an account that exists, on a new device that nobody has signed. */
  async login({ url, username, password }) {
    this.#url = url;
    const identifier = { type: "m.id.user", user: username };
    const account = await this.#call("POST", "/login", { type: "m.login.password", identifier, password });
    return this.#begin(account, { bootstrap: false });
  }

  async #begin({ user_id, device_id, access_token }, { bootstrap = true } = {}) {
    this.#token = access_token;
    this.#machine = await OlmMachine.initialize(new UserId(user_id), new DeviceId(device_id));
    await this.#drain();
    if (bootstrap) await this.#makeIdentity();
    await this.sync({ timeout: 0 }); // names the fallback key types, so that the machine makes one
    return { user_id, device_id, access_token };
  }

  async #makeIdentity() {
    const requests = await this.#machine.bootstrapCrossSigning(true);
    if (requests.uploadKeysRequest) await this.#perform(requests.uploadKeysRequest);
    await this.#call("POST", "/keys/device_signing/upload", JSON.parse(requests.uploadSigningKeysRequest.body));
    await this.#perform(requests.uploadSignaturesRequest);
  }

  /** Create a private encrypted room; returns its id. */
  async create_room({ invite }) {
    const content = { algorithm: ALGORITHM };
    const room = await this.#call("POST", "/createRoom", {
      preset: "private_chat",
      is_direct: true,
      invite,
      initial_state: [{ type: "m.room.encryption", state_key: "", content }],
    });
    return room.room_id;
  }

  async join({ room_id }) {
    await this.#call("POST", `/rooms/${encodeURIComponent(room_id)}/join`, {});
    return room_id;
  }

  /** Encrypt a text to the joined members' devices (all, or the owner-signed ones) and send it. */
  async send({ room_id, body, devices = "any" }) {
    const users = [...(this.#members.get(room_id) ?? [])];
    const ids = () => users.map((user) => new UserId(user)); // consumed by each call that takes them
    await this.#machine.updateTrackedUsers(ids());
    await this.#drain();
    const claim = await this.#machine.getMissingSessions(ids());
    if (claim) await this.#perform(claim);
    const settings = new EncryptionSettings();
    settings.sharingStrategy = STRATEGY[devices]();
    for (const request of await this.#machine.shareRoomKey(new RoomId(room_id), ids(), settings)) {
      await this.#perform(request);
    }
    const message = JSON.stringify({ msgtype: "m.text", body });
    const encrypted = await this.#machine.encryptRoomEvent(new RoomId(room_id), "m.room.message", message);
    const path = `/rooms/${encodeURIComponent(room_id)}/send/m.room.encrypted/${randomUUID()}`;
    return (await this.#call("PUT", path, JSON.parse(encrypted))).event_id;
  }

  /** One sync; returns what it brought: `{invited, members: {room: [user]}, messages, unopened}`. */
  async sync({ timeout, senders = "any" }) {
    const query = new URLSearchParams({ timeout: String(timeout) });
    if (this.#since) query.set("since", this.#since);
    const answer = await this.#call("GET", `/sync?${query}`);
    const settings = () => new DecryptionSettings(TRUST[senders]);
    await this.#machine.receiveSyncChanges(
      JSON.stringify(answer.to_device?.events ?? []),
      deviceLists(answer.device_lists),
      new Map(Object.entries(answer.device_one_time_keys_count)),
      new Set(answer.device_unused_fallback_key_types),
      settings(),
    );
    this.#since = answer.next_batch;
    await this.#drain();
    const joined = Object.entries(answer.rooms?.join ?? {});
    for (const [room, content] of joined) this.#learn(room, content);
    await this.#track();
    const members = Object.fromEntries([...this.#members].map(([room, users]) => [room, [...users]]));
    const invited = Object.keys(answer.rooms?.invite ?? {});
    const messages = await this.#read(settings);
    return { invited, members, messages, unopened: this.#undecrypted.map(({ event }) => event.event_id) };
  }

  /** What the machine thinks of a device: whether its owner signed it. */
  async owner_signed({ user_id, device_id }) {
    const device = await this.#machine.getDevice(new UserId(user_id), new DeviceId(device_id));
    return device?.isCrossSignedByOwner() ?? null;
  }

  #learn(room, { state, timeline }) {
    const members = this.#members.get(room) ?? new Set();
    this.#members.set(room, members);
    for (const event of [...(state?.events ?? []), ...timeline.events]) {
      if (event.type === "m.room.member" && event.content.membership === "join") members.add(event.state_key);
      else if (event.type === "m.room.member") members.delete(event.state_key);
      else if (event.type === "m.room.encrypted") this.#undecrypted.push({ room, event });
    }
  }

  async #track() {
    const everyone = new Set([...this.#members.values()].flatMap((users) => [...users]));
    await this.#machine.updateTrackedUsers([...everyone].map((user) => new UserId(user)));
    await this.#drain();
  }

  async #read(settings) {
    const messages = [];
    const waiting = this.#undecrypted;
    this.#undecrypted = [];
    for (const { room, event } of waiting) {
      try {
        const decrypted = await this.#machine.decryptRoomEvent(JSON.stringify(event), new RoomId(room), settings());
        const { content } = JSON.parse(decrypted.event);
        messages.push({ room_id: room, event_id: event.event_id, sender: event.sender, body: content.body });
      } catch {
        this.#undecrypted.push({ room, event }); // its key may come with a later sync
      }
    }
    return messages;
  }

  async #drain() {
    for (const request of await this.#machine.outgoingRequests()) await this.#perform(request);
  }

  async #perform(request) {
    const answer = await this.#call(...route(request), JSON.parse(request.body));
    if (request.id) await this.#machine.markRequestAsSent(request.id, request.type, JSON.stringify(answer));
  }

  async #call(method, path, content) {
    const headers = { "Content-Type": "application/json" };
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    const body = content === undefined ? undefined : JSON.stringify(content);
    const response = await fetch(`${this.#url}/_matrix/client/v3${path}`, { method, headers, body });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }
}

function route(request) {
  switch (request.type) {
    case RequestType.KeysUpload:
      return ["POST", "/keys/upload"];
    case RequestType.KeysQuery:
      return ["POST", "/keys/query"];
    case RequestType.KeysClaim:
      return ["POST", "/keys/claim"];
    case RequestType.SignatureUpload:
      return ["POST", "/keys/signatures/upload"];
    case RequestType.ToDevice:
      return ["PUT", `/sendToDevice/${encodeURIComponent(request.event_type)}/${encodeURIComponent(request.txn_id)}`];
    default:
      throw new Error(`the machine asks for a request of type ${request.type}, which nobody here needs`);
  }
}

function deviceLists({ changed = [], left = [] } = {}) {
  return new DeviceLists(
    changed.map((user) => new UserId(user)),
    left.map((user) => new UserId(user)),
  );
}
