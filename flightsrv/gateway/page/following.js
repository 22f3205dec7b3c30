// Processes that may be running: what is known of them, and what has come since they were looked at last.

import { getJson } from "./api.js";
import { withRanges } from "./timeline.js";
import { parseTime, rfc3339 } from "./times.js";

const MOST_RANGES = 300n;

/** The threads of a process and the range of its life, null if it has no events. Throws Problem. */
export async function threadsAndLife(path, signal) {
  const { begin, end, threads } = await getJson(`${path}/threads`, {}, signal);
  const life = begin === null ? null : { begin: parseTime(begin), end: parseTime(end) };
  return { threads: withRanges(threads), life };
}

/** The range from the first event of some processes, of which threads and life are known, to the last; null if none. */
export function lifeOfAll(known) {
  const lives = known.map(({ life }) => life).filter((life) => life !== null);
  if (lives.length === 0) return null;
  return lives.reduce((all, { begin, end }) => ({
    begin: begin < all.begin ? begin : all.begin,
    end: end > all.end ? end : all.end,
  }));
}

/**
 * The threads of a process and the range of its life, with what came after its end as it was known. Throws Problem.
 * Nothing else is asked for: a long history costs no more than a short one.
 */
export async function withNews(path, { threads, life }, signal) {
  if (life === null) return threadsAndLife(path, signal);
  const news = await getJson(`${path}/threads`, { begin: rfc3339(life.end + 1n) }, signal);
  const known = new Map(threads.map((thread) => [thread.stream_id, thread]));
  const gap = (life.end - life.begin) / MOST_RANGES;
  return {
    threads: withRanges(news.threads).map((thread) => joined(known.get(thread.stream_id), thread, gap)),
    life: { begin: life.begin, end: news.end === null ? life.end : parseTime(news.end) },
  };
}

function joined(known, news, gap) {
  if (known === undefined) return news;
  if (news.begin === null) return { ...known, dropped_spans: news.dropped_spans };
  const ranges = [...known.ranges];
  for (const range of news.ranges) {
    const last = ranges.at(-1);
    if (last !== undefined && range.begin - last.end <= gap) ranges[ranges.length - 1] = { ...range, begin: last.begin };
    else ranges.push(range);
  }
  return { ...news, begin: known.begin ?? news.begin, nb_events: known.nb_events + news.nb_events, ranges };
}
