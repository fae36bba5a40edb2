// Parsing a stream of Server-Sent Events (WHATWG HTML, "9.2.6 Interpreting an event stream").
// EventSource cannot send an Authorization header, so the stream is read with fetch.

/**
 * Yield {event, data, id, retry} for each message of a response body.
 * `id` is null when the message carries none. `onBytes` is called for every chunk, heartbeats included.
 */
export async function* readEvents(body, onBytes) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  let message = blank();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      onBytes?.();
      buffer += value;
      const lines = buffer.split(/\r\n|\n|\r(?!$)/);
      buffer = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "") {
          if (message.touched) yield { event: message.event, data: message.data.join("\n"), id: message.id, retry: message.retry };
          message = blank();
        } else take(message, line);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

const blank = () => ({ event: "message", data: [], id: null, retry: null, touched: false });

function take(message, line) {
  const colon = line.indexOf(":");
  if (colon === 0) return; // a comment: the heartbeat
  const field = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (field === "data") message.data.push(value);
  else if (field === "event") message.event = value;
  else if (field === "id") message.id = value;
  else if (field === "retry" && /^\d+$/.test(value)) message.retry = Number(value);
  else return;
  message.touched = true;
}
