// An answer read as it comes: lines of JSON, and known numbers of bytes among them.

const NEWLINE = 10;

export class AnswerReader {
  /** `body` is a stream of bytes, such as that of a response. */
  constructor(body) {
    this.reader = body.getReader();
    this.rest = new Uint8Array();
  }

  /** The next line as an object; null at the end of the answer. */
  async line() {
    for (;;) {
      const end = this.rest.indexOf(NEWLINE);
      if (end >= 0) return JSON.parse(new TextDecoder().decode(this.take(end + 1)));
      if (!(await this.more())) return null;
    }
  }

  /** So many bytes. `onBytes` gets the number of those that have come, each time that some do. */
  async bytes(size, onBytes) {
    const parts = [];
    while (size > 0) {
      if (this.rest.length === 0 && !(await this.more())) throw new Error("the answer ends within a piece");
      const part = this.take(Math.min(size, this.rest.length));
      parts.push(part);
      size -= part.length;
      onBytes(part.length);
    }
    // A blob is the browser's to keep, on disk if need be.
    return new Blob(parts);
  }

  take(size) {
    const taken = this.rest.subarray(0, size);
    this.rest = this.rest.subarray(size);
    return taken;
  }

  async more() {
    const { done, value } = await this.reader.read();
    if (done) return false;
    this.rest = this.rest.length === 0 ? value : joined(this.rest, value);
    return true;
  }
}

function joined(first, second) {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
