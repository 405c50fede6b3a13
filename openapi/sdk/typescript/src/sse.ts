/** Server-sent events (WHATWG HTML, 9.2.6). */

/** One event of a stream. */
export interface Message {
  event: string;
  data: string;
  id: string | null;
}

/** Takes pieces of a stream and gives the events that they complete. */
export class Decoder {
  private readonly text = new TextDecoder();
  private rest = "";
  private event = "";
  private data: string[] = [];
  private id: string | null = null;

  *feed(piece: Uint8Array): Generator<Message> {
    this.rest += this.text.decode(piece, { stream: true });
    // A CR at the end may be half of a CRLF.
    const half = this.rest.endsWith("\r");
    const lines = (half ? this.rest.slice(0, -1) : this.rest).split(/\r\n|\n|\r/);
    this.rest = (lines.pop() ?? "") + (half ? "\r" : "");
    for (const line of lines) {
      const message = this.line(line);
      if (message) yield message;
    }
  }

  private line(line: string): Message | null {
    if (line === "") {
      const message = this.data.length ? { event: this.event || "message", data: this.data.join("\n"), id: this.id } : null;
      this.event = "";
      this.data = [];
      return message;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.event = value;
    else if (name === "data") this.data.push(value);
    else if (name === "id" && !value.includes("\0")) this.id = value;
    return null;
  }
}
