/** What every resource holds. */

import type { Transport } from "./transport.js";

export abstract class Resource {
  constructor(protected readonly transport: Transport) {}
}

/** A value in a path. An empty one would name another resource. */
export function segment(value: string): string {
  if (value === "" || value === "." || value === "..") throw new TypeError(`an id in a path cannot be ${JSON.stringify(value)}`);
  return encodeURIComponent(value);
}
