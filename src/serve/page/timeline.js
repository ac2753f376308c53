// timeline.js -- where the time went from a message to its call, and on to the answer.
//
// All requests that one message led to stand under one another on one axis, each where the one
// before ended. The times are the server's. While a tool runs nothing is computed and seconds pass,
// so that time is cut out of the axis and drawn as a gap of fixed width.

import { fill, h } from './dom.js';
import { nothing } from './inspect.js';
import { chain, kinds, promptEnd } from './talk.js';
import { count, ms, percent, share } from './words.js';

const GAP = 0.1; // of the width, for each run of tools

export function timelineView(talk, onselect) {
  const el = h('div', { class: 'timeline' });

  function draw(turn) {
    if (!turn) {
      fill(
        el,
        nothing(
          'Time to call',
          'Where the time of an answer goes: waiting for a turn, reading the prompt (what the ' +
            'cache knew costs nothing), tokens that were chosen and tokens the grammar forced, ' +
            'the tools.',
        ),
      );
      return;
    }
    const turns = chain(talk.turns, turn);
    fill(el, tiles(turns), axisOf(turns, turn, onselect), legend());
  }
  return { el, draw };
}

// ---- numbers that are looked at first --------------------------------------------------------

function tiles(turns) {
  const first = turns.find(t => t.run.calledAt !== null),
    run = (first ?? turns[0]).run,
    t = run.timings;
  const tile = (label, value, title) =>
    h('div', { class: 'tile', title }, h('dt', {}, label), h('dd', {}, value));
  const later = run.endedAt === null ? '…' : '–',
    n = t ? t.cache_n + t.prompt_n : 0,
    sure = turns
      .flatMap(x => x.calls)
      .map(c => c.confidence)
      .filter(x => x !== null);
  return h(
    'dl',
    { class: 'tiles' },
    first
      ? tile(
          'Time to call',
          ms(run.calledAt - turns[0].run.startedAt),
          'from sending the message until its first call was whole, in this browser',
        )
      : tile(
          'Time to answer',
          run.finish ? ms(run.endedAt - run.startedAt) : later,
          'until the answer was whole, in this browser',
        ),
    tile('First token', t ? ms(t.first_token_ms) : later, 'after the request came in'),
    tile(
      'Speed',
      t?.predicted_n > 1 && t.predicted_ms > 0
        ? `${Math.round((t.predicted_n * 1000) / t.predicted_ms)} tok/s`
        : '–',
      'tokens of the answer for a second',
    ),
    tile(
      'From the cache',
      t ? share(t.cache_n, n) : later,
      t && `${t.cache_n} of ${n} prompt tokens were known`,
    ),
    tile(
      'Forced',
      t ? share(t.forced_n, t.predicted_n) : later,
      t && `${t.forced_n} of ${t.predicted_n} tokens were the only ones the grammar allowed`,
    ),
    tile('Confidence', sure.length ? percent(Math.min(...sure)) : '–', 'of the least sure call'),
  );
}

// ---- the axis --------------------------------------------------------------------------------

/** Length of a request on the axis, ms. */
function spanOf(run) {
  return Math.max(promptEnd(run), run.tokens.at(-1)?.ms ?? 0, 0.01);
}

/** When its tools had run; null: there were none, or they still run. */
const answeredAt = turn =>
  turn.calls.every(c => c.result) ? Math.max(...turn.calls.map(c => c.result.at)) : null;

function axisOf(turns, selected, onselect) {
  const gaps = turns.filter(t => t.calls.length && t.run.endedAt !== null).length;
  const total = turns.reduce((sum, t) => sum + spanOf(t.run), 0),
    scale = (1 - gaps * GAP) / total;
  let at = 0,
    gapsSoFar = 0;
  const blocks = turns.map((turn, i) => {
    const from = at * scale + gapsSoFar * GAP;
    at += spanOf(turn.run);
    const tools =
      turn.calls.length && turn.run.endedAt !== null
        ? { from: at * scale + gapsSoFar++ * GAP, turn }
        : null;
    return block(turn, i, {
      from,
      scale,
      tools,
      selected: turn === selected,
      many: turns.length > 1,
      onselect,
    });
  });
  return h('div', { class: 'blocks' }, blocks);
}

function block(turn, i, o) {
  const run = turn.run,
    t = run.timings,
    by = kinds(run),
    end = promptEnd(run);
  const queue = t?.queue_ms ?? 0,
    place = x => o.from + x * o.scale;
  const bar = (from, to, kind) =>
    h('span', {
      class: `bar-piece ${kind}`,
      vars: { from: place(from), size: Math.max(to - from, 0) * o.scale },
    });
  const row = (label, value, pieces) =>
    h(
      'div',
      { class: 'lane' },
      h('span', { class: 'lane-name' }, label),
      h('span', { class: 'lane-bar', 'aria-hidden': 'true' }, pieces),
      h('span', { class: 'lane-value' }, value),
    );
  const known = t ? t.cache_n : (run.progress?.cache ?? 0),
    read = t ? t.prompt_n : (run.progress?.processed ?? 0) - known;
  const rows = [
    row('Queue', t ? ms(queue) : '…', bar(0, queue, 'queue')),
    row(
      'Cache hit',
      known ? `${known} of ${count(known + read, 'token')}` : 'none',
      known > 0 && h('span', { class: 'bar-piece cache', vars: { from: place(queue), size: 0 } }),
    ),
    row('Prefill', `${ms(end - queue)}, ${count(read, 'token')}`, bar(queue, end, 'prefill')),
  ];
  for (const [kind, label] of [
    ['sampled', 'Sampled'],
    ['drafted', 'Drafted'],
    ['forced', 'Forced'],
  ])
    if (by[kind].n)
      rows.push(
        row(
          label,
          `${ms(by[kind].ms)}, ${count(by[kind].n, 'token')}`,
          pieces(run, kind).map(p => bar(p.from, p.to, kind)),
        ),
      );
  if (o.tools) rows.push(toolRow(o.tools, row));
  const nothingCame = !t && run.endedAt !== null && !run.tokens.length;
  if (nothingCame) rows.length = 0; // there are no times
  const title = h(
    'h3',
    {},
    o.many
      ? h(
          'button',
          {
            type: 'button',
            class: 'link',
            'aria-pressed': o.selected,
            onclick: () => o.onselect(turn),
          },
          `Request ${i + 1}`,
        )
      : 'Request',
    h(
      'span',
      { class: 'hint' },
      run.error
        ? 'failed'
        : run.stopped
          ? 'stopped'
          : run.finish === 'tool_calls'
            ? turn.calls.map(c => c.name).join(', ')
            : (run.finish ?? 'running'),
    ),
  );
  return h('section', { class: o.selected && o.many ? 'block selected' : 'block' }, title, rows);
}

function toolRow({ from, turn }, row) {
  const until = answeredAt(turn),
    waits = until === null,
    ran = turn.calls.filter(c => c.result?.ms !== undefined);
  const took = ran.length
    ? `${ms(ran.reduce((sum, c) => sum + c.result.ms, 0))} on the server`
    : ms(until - turn.run.endedAt);
  return row(
    'Tool run',
    waits ? (turn.calls.some(c => c.stage === 'runs') ? 'runs' : 'waits for you') : took,
    h('span', {
      class: waits ? 'bar-piece tool waits' : 'bar-piece tool',
      vars: { from, size: GAP },
    }),
  );
}

/** Stretches of tokens of one kind, each from the token before it to its last. */
function pieces(run, kind) {
  const out = [];
  let before = promptEnd(run),
    open = null;
  for (const t of run.tokens) {
    const to = Math.max(before, t.ms);
    if (t.kind !== kind) open = null;
    else if (open) open.to = to;
    else out.push((open = { from: before, to }));
    before = to;
  }
  return out;
}

function legend() {
  return h(
    'p',
    { class: 'hint' },
    'Forced tokens cost next to nothing: they are fed to the model together with the next token ' +
      'that is chosen. The time of tools is not to scale.',
  );
}
