// UUIDs version 7 (RFC 9562): they sort by the time they were made, like the server's own.

let lastMs = 0;
let counter = 0;

/** A new UUIDv7. Two made in the same millisecond still sort in the order they were made. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const ms = Math.max(Date.now(), lastMs);
  counter = ms === lastMs ? (counter + 1) & 0xfff : bytes[6] & 0x7f;
  lastMs = ms;
  for (let i = 0; i < 6; i += 1) bytes[i] = Math.floor(ms / 2 ** (8 * (5 - i))) & 0xff;
  bytes[6] = 0x70 | (counter >> 8);
  bytes[7] = counter & 0xff;
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
