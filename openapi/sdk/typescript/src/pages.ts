/** Lists that span pages. */

import type { Call, RequestOptions, Transport } from "./transport.js";

/** One page; the next one begins after `last_id` while `has_more` is true. */
export interface Page<T> {
  data: T[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
}

/**
 * A list. `for await` gives every item and fetches pages as they are needed; `limit` of the query is the size of a page.
 * Nothing is sent before the first item is asked for, and iterating again begins anew.
 */
export class Pages<T> implements AsyncIterable<T> {
  constructor(
    private readonly transport: Transport,
    private readonly call: Call,
    private readonly options: RequestOptions,
  ) {}

  /** The first page alone. */
  page(): Promise<Page<T>> {
    return this.transport.json<Page<T>>(this.call, this.options);
  }

  /** Page after page. */
  async *pages(): AsyncGenerator<Page<T>, void, undefined> {
    let call = this.call;
    for (;;) {
      const page = await this.transport.json<Page<T>>(call, this.options);
      yield page;
      if (!page.has_more || page.last_id === null) return;
      call = { ...call, query: { ...call.query, after: page.last_id } };
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const page of this.pages()) yield* page.data;
  }

  /** All items. */
  async all(): Promise<T[]> {
    const items: T[] = [];
    for await (const item of this) items.push(item);
    return items;
  }
}
