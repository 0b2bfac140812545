// A person who compares emoji with matrix-js-sdk: one verification at a time.

import { setTimeout as sleep } from "node:timers/promises";
import { VerificationPhase, VerificationRequestEvent, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

const SAS = "m.sas.v1";

export class Comparison {
  #client;
  #request;
  #arrived;
  #sas;
  #verified;

  constructor(client) {
    this.#client = client;
    this.#expect();
    client.on("crypto.verificationRequestReceived", (request) => this.#hear(request));
  }

  #expect() {
    this.#arrived = Promise.withResolvers();
  }

  #hear(request) {
    this.#request = request;
    this.#arrived.resolve(request);
  }

  /** Ask a person in a room, one device, or one's own other devices. */
  async request({ user_id, device_id, room_id }) {
    const crypto = this.#client.getCrypto();
    if (room_id) this.#request = await crypto.requestVerificationDM(user_id, room_id);
    else if (device_id) {
      while (!(await crypto.getUserDeviceInfo([user_id], true)).get(user_id)?.has(device_id)) await sleep(20);
      this.#request = await crypto.requestDeviceVerification(user_id, device_id);
    }
    else this.#request = await crypto.requestOwnUserVerification();
  }

  /** Wait until somebody asks; who, and from which device. */
  async incoming() {
    const request = await this.#arrived.promise;
    this.#expect();
    return { user_id: request.otherUserId, device_id: request.otherDeviceId, room_id: request.roomId ?? null };
  }

  async accept() {
    await this.#request.accept();
  }

  async start() {
    await this.#until(() => this.#request.phase >= VerificationPhase.Ready);
    await this.#request.startVerification(SAS);
  }

  /** Wait for the short code: `{emoji: [[symbol, name]], decimals}`. */
  async code() {
    await this.#until(() => this.#request.verifier !== undefined);
    const verifier = this.#request.verifier;
    const shown = new Promise((resolve, reject) => {
      verifier.on(VerifierEvent.ShowSas, resolve);
      verifier.on(VerifierEvent.Cancel, () => reject(new Error(`cancelled: ${this.#request.cancellationCode}`)));
    });
    this.#verified = verifier.verify().catch(() => {}); // how it ended is asked for with `ended`
    this.#sas = verifier.getShowSasCallbacks() ?? (await shown);
    return { emoji: this.#sas.sas.emoji, decimals: this.#sas.sas.decimal };
  }

  async confirm() {
    await this.#sas.confirm();
  }

  mismatch() {
    this.#sas.mismatch();
  }

  async cancel() {
    await this.#request.cancel();
  }

  /** Wait for the end: "done", or the code of the cancellation. */
  async ended() {
    await this.#until(() => this.#request.phase >= VerificationPhase.Cancelled);
    await this.#verified;
    return this.#request.phase === VerificationPhase.Done ? "done" : this.#request.cancellationCode;
  }

  async #until(reached) {
    while (!reached()) {
      const over = this.#request.phase === VerificationPhase.Cancelled && !reached();
      if (over) throw new Error(`cancelled: ${this.#request.cancellationCode}`);
      await new Promise((resolve) => this.#request.once(VerificationRequestEvent.Change, resolve));
    }
  }
}
