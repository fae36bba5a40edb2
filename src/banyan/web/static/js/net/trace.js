// Traces (W3C Trace Context): what is asked for by one act has one trace id, however often it is sent.
// The server says in its page which share of them is recorded, and that no `traceparent` is wanted when it records none.

/** How many of our requests the server wants recorded, 0 to 1; null when it records none. */
function share() {
  const told = document.querySelector('meta[name="trace-share"]')?.content;
  return told ? Number(told) : null;
}

/** A trace: its header for each request, which is a span of its own. */
export function newTrace() {
  const recorded = share();
  if (recorded === null) return () => ({});
  const traceId = randomHex(16);
  const flags = Math.random() < recorded ? "01" : "00";
  return () => ({ traceparent: `00-${traceId}-${randomHex(8)}-${flags}` });
}

function randomHex(count) {
  return Array.from(crypto.getRandomValues(new Uint8Array(count)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
