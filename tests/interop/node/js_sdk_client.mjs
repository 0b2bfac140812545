// One matrix-js-sdk client as a test drives it: lazy loading of members, threads, its own sync loop, rust crypto in memory.

import { setTimeout as sleep } from "node:timers/promises";
import { createClient, EventTimeline, ReceiptType, RelationType } from "matrix-js-sdk";
import { SlidingSync } from "matrix-js-sdk/lib/sliding-sync.js";
import { decryptAttachment, encryptAttachment } from "matrix-encrypt-attachment";
import { Recovery } from "./js_sdk_recovery.mjs";
import { Comparison } from "./js_sdk_verification.mjs";

const ENCRYPTION = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
const ROOM_WANTED = { timeline_limit: 20, required_state: [["*", "*"]] };
const WINDOW = new Map([["all", { ranges: [[0, 99]], ...ROOM_WANTED }]]);
const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, getChild: () => SILENT };
const NEWS = [
  "event",
  "sync",
  "accountData",
  "deleteRoom",
  "Event.decrypted",
  "Event.replaced",
  "Room",
  "Room.myMembership",
  "Room.receipt",
  "Room.redaction",
  "Room.timeline",
  "RoomMember.membership",
  "RoomMember.typing",
  "Thread.update",
  "crypto.verificationRequestReceived",
  "userTrustStatusChanged",
];

export class JsSdkClient {
  static COMMANDS = new Set([
    ...["register", "login", "logout", "close", "create_room", "join", "leave", "send", "snapshot", "look"],
    ...["edit", "react", "reply", "thread_reply", "redact", "read_up_to", "typing", "send_file", "open_file"],
    ...["set_name", "profile", "find_people", "upgrade", "devices", "account_data", "push_rule", "call"],
    ...["request", "incoming", "accept", "start", "code", "confirm", "mismatch", "cancel", "ended", "trusts"],
    ...["set_up_recovery", "backed_up", "recover", "owns"],
  ]);
  #url;
  #client;
  #comparison;
  #recovery;
  #news = 0;
  #seen = 0;
  #wake = () => {};

  /** Sign up, with a cross-signing identity. */
  async register({ url, username, password, sliding = false }) {
    const auth = { type: "m.login.dummy" };
    const account = await createClient({ baseUrl: url, logger: SILENT }).registerRequest({ username, password, auth });
    await this.#begin(url, account, sliding);
    await this.#crypto.bootstrapCrossSigning({
      setupNewCrossSigning: true,
      authUploadDeviceSigningKeys: (request) => request(null),
    });
    return this.#account;
  }

  /** Log in to an account that exists, on a new device that nobody has signed. */
  async login({ url, username, password }) {
    const identifier = { type: "m.id.user", user: username };
    const anybody = createClient({ baseUrl: url, logger: SILENT });
    await this.#begin(url, await anybody.loginRequest({ type: "m.login.password", identifier, password }));
    return this.#account;
  }

  async #begin(url, { user_id: userId, device_id: deviceId, access_token: accessToken }, sliding = false) {
    this.#url = url;
    this.#recovery = new Recovery();
    const settings = { cryptoCallbacks: this.#recovery.callbacks, logger: SILENT };
    this.#client = createClient({ baseUrl: url, userId, deviceId, accessToken, ...settings });
    await this.#client.initRustCrypto({ useIndexedDB: false });
    this.#comparison = new Comparison(this.#client);
    this.#recovery.client = this.#client;
    for (const name of NEWS) this.#client.on(name, () => this.#heard());
    const ready = new Promise((resolve) => this.#client.on("sync", (state) => state === "PREPARED" && resolve()));
    const slidingSync = sliding ? new SlidingSync(url, WINDOW, ROOM_WANTED, this.#client, 10_000) : undefined;
    await this.#client.startClient({ lazyLoadMembers: true, threadSupport: true, initialSyncLimit: 20, slidingSync });
    await ready;
    while (!(await this.#published(userId, deviceId))) await sleep(20);
  }

  /** Whether the server lists this device's keys: the client uploads them when it gets round to it. */
  async #published(userId, deviceId) {
    const { device_keys: listed } = await this.#client.downloadKeysForUsers([userId]);
    return listed[userId]?.[deviceId] !== undefined;
  }

  get #crypto() {
    return this.#client.getCrypto();
  }

  get #account() {
    return { user_id: this.#client.getUserId(), device_id: this.#client.getDeviceId() };
  }

  #heard() {
    this.#news += 1;
    this.#wake();
  }

  /** End the session, and the loop with it. */
  async logout() {
    await this.#client.logout(true);
  }

  /** Stop syncing; the session lives on. */
  async close() {
    this.#client?.stopClient();
  }

  async create_room({ invite, name, version }) {
    const room = { preset: "private_chat", is_direct: true, invite, name, initial_state: [ENCRYPTION] };
    return (await this.#client.createRoom({ ...room, room_version: version })).room_id;
  }

  async join({ room_id }) {
    await this.#client.joinRoom(room_id);
  }

  async leave({ room_id }) {
    await this.#client.leave(room_id);
  }

  /** What came since the last call, or nothing new within `timeout` milliseconds. */
  async snapshot({ timeout }) {
    if (this.#news === this.#seen && timeout > 0) {
      const news = new Promise((resolve) => (this.#wake = resolve));
      await Promise.race([news, sleep(timeout, undefined, { ref: false })]);
    }
    this.#seen = this.#news;
    const rooms = this.#client.getRooms();
    const joined = rooms.filter((room) => room.getMyMembership() === "join");
    const events = joined.flatMap((room) => this.#events(room));
    return {
      invited: rooms.filter((room) => room.getMyMembership() === "invite").map((room) => room.roomId),
      members: Object.fromEntries(joined.map((room) => [room.roomId, room.getJoinedMembers().map((m) => m.userId)])),
      messages: events.filter(opened).map(plain),
      unopened: events.filter((event) => event.isDecryptionFailure()).map((event) => event.getId()),
    };
  }

  /** All that a screen would show of a room. */
  async look({ room_id }) {
    const room = this.#client.getRoom(room_id);
    if (!room) return null;
    await room.loadMembersIfNeeded();
    const state = room.getLiveTimeline().getState(EventTimeline.FORWARDS);
    return {
      name: room.name,
      members: Object.fromEntries(room.getMembers().map((member) => [member.userId, member.membership])),
      names: Object.fromEntries(room.getMembers().map((member) => [member.userId, member.name])),
      typing: room.getMembers().filter((member) => member.typing).map((member) => member.userId),
      unread: room.getUnreadNotificationCount("total"),
      encrypted: room.hasEncryptionStateEvent(),
      successor: state.getStateEvents("m.room.tombstone", "")?.getContent().replacement_room ?? null,
      version: room.getVersion(),
      events: Object.fromEntries(this.#events(room).map((event) => [event.getId(), this.#shown(room, event)])),
    };
  }

  #events(room) {
    const threads = room.getThreads().flatMap((thread) => thread.events);
    const all = [...room.getLiveTimeline().getEvents(), ...threads];
    return [...new Map(all.map((event) => [event.getId(), event])).values()];
  }

  #shown(room, event) {
    const related = room.relations.getChildEventsForEvent(event.getId(), RelationType.Annotation, "m.reaction");
    const reactions = related?.getSortedAnnotationsByKey() ?? [];
    return {
      type: event.getType(),
      sender: event.getSender(),
      content: event.getContent(), // the newest edit's
      edited: event.replacingEventId() ?? null,
      redacted: event.isRedacted(),
      reactions: Object.fromEntries(reactions.map(([key, events]) => [key, [...events].map((one) => one.getSender())])),
      reply_to: event.replyEventId ?? null,
      thread: event.threadRootId ?? null,
      replies: room.getThread(event.getId())?.length ?? 0,
      read_by: room.getUsersReadUpTo(event),
    };
  }

  async send({ room_id, body }) {
    return (await this.#client.sendTextMessage(room_id, body)).event_id;
  }

  async edit({ room_id, event_id, body }) {
    const text = { msgtype: "m.text", body };
    const relation = { rel_type: "m.replace", event_id };
    const content = { msgtype: "m.text", body: `* ${body}`, "m.new_content": text, "m.relates_to": relation };
    return (await this.#client.sendMessage(room_id, content)).event_id;
  }

  async react({ room_id, event_id, key }) {
    const content = { "m.relates_to": { rel_type: "m.annotation", event_id, key } };
    return (await this.#client.sendEvent(room_id, "m.reaction", content)).event_id;
  }

  async reply({ room_id, event_id, body }) {
    const content = { msgtype: "m.text", body, "m.relates_to": { "m.in_reply_to": { event_id } } };
    return (await this.#client.sendMessage(room_id, content)).event_id;
  }

  async thread_reply({ room_id, event_id, body }) {
    return (await this.#client.sendMessage(room_id, event_id, { msgtype: "m.text", body })).event_id;
  }

  async redact({ room_id, event_id, reason }) {
    return (await this.#client.redactEvent(room_id, event_id, undefined, { reason })).event_id;
  }

  async read_up_to({ room_id, event_id, secretly = false }) {
    const event = this.#client.getRoom(room_id).findEventById(event_id);
    await this.#client.sendReadReceipt(event, secretly ? ReceiptType.ReadPrivate : ReceiptType.Read, true);
    await this.#client.setRoomReadMarkers(room_id, event_id);
  }

  async typing({ room_id, typing }) {
    await this.#client.sendTyping(room_id, typing, 20_000);
  }

  /** Encrypt a file as Element does, upload it and send the message that opens it. */
  async send_file({ room_id, name, text }) {
    const { data, info } = await encryptAttachment(new TextEncoder().encode(text).buffer);
    const { content_uri } = await this.#client.uploadContent(new Blob([data]), { type: "application/octet-stream" });
    const content = { msgtype: "m.file", body: name, file: { ...info, url: content_uri } };
    return (await this.#client.sendMessage(room_id, content)).event_id;
  }

  /** Download a message's file with the token, and decrypt it. */
  async open_file({ room_id, event_id }) {
    const { file } = this.#client.getRoom(room_id).findEventById(event_id).getContent();
    const url = this.#client.mxcUrlToHttp(file.url, undefined, undefined, undefined, false, true, true);
    const headers = { Authorization: `Bearer ${this.#client.getAccessToken()}` };
    const answer = await fetch(url, { headers });
    if (!answer.ok) throw new Error(`GET ${url}: ${answer.status} ${await answer.text()}`);
    return new TextDecoder().decode(await decryptAttachment(await answer.arrayBuffer(), file));
  }

  async set_name({ name }) {
    await this.#client.setDisplayName(name);
  }

  async profile({ user_id }) {
    return this.#client.getProfileInfo(user_id);
  }

  async find_people({ term }) {
    const { results } = await this.#client.searchUserDirectory({ term, limit: 10 });
    return results.map((person) => person.user_id);
  }

  async upgrade({ room_id, version }) {
    return (await this.#client.upgradeRoom(room_id, version)).replacement_room;
  }

  async devices() {
    return (await this.#client.getDevices()).devices.map((device) => device.device_id);
  }

  /** Set account data, and wait until the client's own sync has brought it. */
  async account_data({ type, content }) {
    await this.#client.setAccountData(type, content);
    return this.#client.getAccountData(type)?.getContent() ?? null;
  }

  /** What the client's rules make of a message: `{notify, highlight}`. */
  async push_rule({ room_id, event_id }) {
    const event = this.#client.getRoom(room_id).findEventById(event_id);
    const { notify, tweaks } = this.#client.getPushActionsForEvent(event, true);
    return { notify, highlight: Boolean(tweaks.highlight) };
  }

  /** Any other method of the client, by name. */
  async call({ method, given = [] }) {
    return this.#client[method](...given);
  }

  // Verification and recovery have files of their own.

  async request(given) {
    await this.#comparison.request(given);
  }

  async incoming() {
    return this.#comparison.incoming();
  }

  async accept() {
    await this.#comparison.accept();
  }

  async start() {
    await this.#comparison.start();
  }

  async code() {
    return this.#comparison.code();
  }

  async confirm() {
    await this.#comparison.confirm();
  }

  async mismatch() {
    this.#comparison.mismatch();
  }

  async cancel() {
    await this.#comparison.cancel();
  }

  async ended() {
    return this.#comparison.ended();
  }

  /** Whom this client takes for verified: a person, or with `device_id` one of her devices. */
  async trusts({ user_id, device_id }) {
    if (!device_id) return (await this.#crypto.getUserVerificationStatus(user_id)).isCrossSigningVerified();
    return (await this.#crypto.getDeviceVerificationStatus(user_id, device_id))?.crossSigningVerified ?? false;
  }

  async set_up_recovery() {
    return this.#recovery.set_up();
  }

  async backed_up({ count }) {
    await this.#recovery.backed_up(count);
  }

  async recover({ recovery_key }) {
    return this.#recovery.recover(recovery_key);
  }

  /** Which private cross-signing keys this device holds. */
  async owns() {
    return (await this.#crypto.getCrossSigningStatus()).privateKeysCachedLocally;
  }
}

function opened(event) {
  const text = event.getType() === "m.room.message" && event.getContent().body;
  return text && event.isEncrypted() && !event.isDecryptionFailure();
}

function plain(event) {
  return { room_id: event.getRoomId(), event_id: event.getId(), sender: event.getSender(), body: event.getContent().body };
}
