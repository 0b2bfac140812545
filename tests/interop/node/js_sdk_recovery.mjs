// Secret storage and key backup of matrix-js-sdk: set up with a recovery key, recover with it on a new device.

import { setTimeout as sleep } from "node:timers/promises";
import { decodeRecoveryKey } from "matrix-js-sdk/lib/crypto-api/index.js";

export class Recovery {
  client;
  #key;

  /** What the client asks its application for. */
  get callbacks() {
    return {
      getSecretStorageKey: async ({ keys }) => (this.#key ? [Object.keys(keys)[0], this.#key] : null),
      cacheSecretStorageKey: (_id, _info, key) => (this.#key = key),
    };
  }

  /** Put the private cross-signing keys into secret storage and begin a backup; the recovery key. */
  async set_up() {
    const crypto = this.client.getCrypto();
    const made = await crypto.createRecoveryKeyFromPassphrase();
    this.#key = made.privateKey;
    await crypto.bootstrapSecretStorage({
      createSecretStorageKey: async () => made,
      setupNewSecretStorage: true,
      setupNewKeyBackup: true,
    });
    await crypto.checkKeyBackupAndEnable();
    return made.encodedPrivateKey;
  }

  /** Wait until so many keys are in the backup. */
  async backed_up(count) {
    const version = () => this.client.http.authedRequest("GET", "/room_keys/version"); // the client has an older one
    while ((await version()).count < count) await sleep(50);
  }

  /** On a new device: the person's identity out of secret storage, and the room keys out of the backup. */
  async recover(recoveryKey) {
    const crypto = this.client.getCrypto();
    this.#key = decodeRecoveryKey(recoveryKey);
    await crypto.userHasCrossSigningKeys(this.client.getUserId(), true); // has it look, before it compares
    await crypto.bootstrapCrossSigning({});
    await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    await crypto.checkKeyBackupAndEnable();
    return crypto.restoreKeyBackup();
  }
}
