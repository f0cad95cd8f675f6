import type { PageSize } from '../prefect/pages.js';

/** What every list needs to know: the page size that the orchestrator allows, and the rows that are read at most. */
export interface ListLimits {
  size: PageSize;
  ceiling: number;
}

/** A result made of several lists, and the ceiling where one of them was cut. */
export interface Cut {
  cutAt?: number;
}

/** The ceiling where any of these was cut. */
export function cutOf(...parts: Cut[]): Cut {
  const cut = parts.find((part) => part.cutAt !== undefined);
  return cut?.cutAt === undefined ? {} : { cutAt: cut.cutAt };
}
