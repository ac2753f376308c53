// raw.js -- what went over the wire, and the same request for a shell and for a program.

import { copyButton, fill, h } from './dom.js';
import { asCurl, asPython } from './export.js';
import { nothing } from './inspect.js';
import { coloured, pretty } from './json.js';
import { count, ms } from './words.js';

const PARTS = [
  ['request', 'Request'],
  ['answer', 'Answer'],
  ['events', 'Events'],
];

export function rawView() {
  const el = h('div', { class: 'raw' });
  const pick = h('div', { class: 'segments', role: 'group', 'aria-label': 'What is shown' });
  const copies = h('div', { class: 'buttons' }),
    pre = h('pre', { class: 'wire', tabindex: '0' });
  let part = 'request',
    turn = null,
    drawn = null;

  pick.append(
    ...PARTS.map(([id, title]) =>
      h(
        'button',
        {
          type: 'button',
          dataset: { id },
          onclick: () => {
            part = id;
            show();
          },
        },
        title,
      ),
    ),
  );

  function draw(to) {
    turn = to;
    if (!turn)
      fill(
        el,
        nothing(
          'Wire',
          'The request as it was sent, ready for curl and Python, and all that came back.',
        ),
      );
    else show();
  }

  function show() {
    const { run } = turn,
      what = { request: run.text, answer: answerText(turn), events: run.events }[part];
    if (!pick.isConnected) fill(el, pick, copies, pre);
    for (const b of pick.children) b.setAttribute('aria-pressed', b.dataset.id === part);
    const state = `${part} ${part === 'request' ? '' : run.events.length} ${run.endedAt}`;
    if (drawn === turn && pre.dataset.state === state) return; // a selection in it stays
    drawn = turn;
    pre.dataset.state = state;
    pre.setAttribute('aria-label', PARTS.find(p => p[0] === part)[1]);
    fill(pre, part === 'events' ? eventLines(what) : coloured(pretty(what)));
    fill(copies, buttons(run, what));
  }

  function buttons(run, what) {
    if (part === 'request')
      return [
        copyButton('Copy as curl', () => asCurl(run.text)),
        copyButton('Copy as Python', () => asPython(run.body)),
        copyButton('Copy JSON', () => pretty(run.text)),
      ];
    if (part === 'answer') return [copyButton('Copy JSON', () => pretty(what))];
    return [
      copyButton('Copy events', () => what.map(e => `data: ${e.text}\n\n`).join('')),
      h('span', { class: 'hint' }, count(what.length, 'event')),
    ];
  }
  return { el, draw };
}

/** The answer that all events add up to. */
function answerText(turn) {
  const { run } = turn;
  if (run.error)
    return JSON.stringify({
      error: {
        message: run.error.message,
        status: run.error.status,
        param: run.error.param,
        code: run.error.code,
      },
    });
  const message = { role: 'assistant', content: turn.text || null };
  if (turn.reasoning) message.reasoning_content = turn.reasoning;
  if (turn.calls.length) {
    message.tool_calls = turn.calls.map(c => ({
      id: c.id,
      type: 'function',
      function: { name: c.name, arguments: c.args },
      ...(c.confidence !== null && { confidence: c.confidence }),
      ...(!c.schemaOk && { schema_ok: false }),
    }));
  }
  return JSON.stringify({
    message,
    finish_reason: run.finish,
    usage: run.usage,
    timings: run.timings,
  });
}

function eventLines(events) {
  return events.map(e =>
    h(
      'span',
      { class: 'event' },
      h('span', { class: 'when' }, ms(e.ms)),
      h('span', {}, coloured(e.text)),
    ),
  );
}
