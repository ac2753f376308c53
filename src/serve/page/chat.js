// chat.js -- the conversation as it is seen, and the field one writes into.

import { $, announce, copyButton, fill, h, perFrame } from './dom.js';
import { callCard } from './calls.js';
import { presetOf } from './presets.js';
import { settings } from './store.js';
import { count, share } from './words.js';

export function openChat(talk, inspect) {
  const log = $('#log'),
    field = $('#composer'),
    views = new Map();
  let said = []; // what was sent, for the arrow-up key

  // ---- turns ----

  // The log follows what is written, and stays at its end when its height changes, unless the
  // reader has gone elsewhere in it.
  let atEnd = true;
  const follow = () => {
    if (atEnd) log.scrollTop = log.scrollHeight;
  };
  log.addEventListener('scroll', () => {
    atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  });
  new ResizeObserver(follow).observe(log);

  function add(turn) {
    if (!views.size) log.replaceChildren();
    const view = turn.role === 'user' ? userView(turn) : assistantView(talk, turn, inspect);
    views.set(turn, view);
    log.append(view.el);
    views.get(talk.turns.at(-2))?.update(); // it is the last one no more
    atEnd = true;
    follow();
  }

  function empty() {
    const preset = presetOf(settings.preset);
    fill(
      log,
      h(
        'div',
        { class: 'empty' },
        h('h2', {}, 'What shall be done?'),
        h(
          'p',
          {},
          'The model answers with text or with calls of the tools beside. ' +
            (preset.id === 'here'
              ? 'They run on this server; those that may change something ask you first.'
              : 'You play the tools: you see each call, and say what it gave.'),
        ),
        h(
          'ul',
          { class: 'samples', 'aria-label': 'Examples' },
          preset.say.map(text =>
            h('li', {}, h('button', { type: 'button', onclick: () => send(text) }, text)),
          ),
        ),
      ),
    );
  }

  talk.addEventListener('added', e => add(e.detail));
  // What comes fast is drawn once a frame; an end is drawn at once, because others look at the
  // result.
  const update = turn => {
    views.get(turn)?.update();
    follow();
  };
  const soon = perFrame(() => update(talk.last));
  talk.addEventListener('changed', e =>
    e.detail.run.endedAt === null ? soon() : update(e.detail),
  );
  talk.addEventListener('removed', e => {
    views.get(e.detail)?.el.remove();
    views.delete(e.detail);
  });
  talk.addEventListener('cleared', () => {
    views.clear();
    empty();
    state();
    field.focus();
  });
  talk.addEventListener('added', state);
  talk.addEventListener('busy', state);
  talk.addEventListener('ended', e => {
    state();
    ended(e.detail);
  });

  function ended(turn) {
    const n = turn.calls.length,
      run = turn.run;
    if (run.error) announce(`Failed: ${run.error.message}`);
    else if (n)
      announce(
        `${count(n, 'call')}: ${turn.calls.map(c => c.name).join(', ')}.` +
          (talk.open.some(c => !c.stage) ? ' Give the results.' : ''),
      );
    else announce(`Answer: ${turn.text}`);
    const waiting = log.querySelector('.results textarea, .asks button');
    if (waiting && document.activeElement === field && !field.value)
      waiting.focus({ preventScroll: true });
    follow();
  }

  // ---- the field ----

  async function send(text) {
    if (talk.running || !text.trim()) return;
    const why = await talk.ready();
    if (why) {
      fill($('#composer-hint'), h('span', { class: 'error', role: 'alert' }, why));
      return;
    }
    said.push(text);
    field.value = '';
    grow();
    talk.say(text.trim());
  }

  function state() {
    const running = talk.busy,
      button = $('#send');
    button.textContent = running ? 'Stop' : 'Send';
    button.classList.toggle('primary', !running);
    button.disabled = !running && !field.value.trim();
    log.setAttribute('aria-busy', running);
    fill(
      $('#composer-hint'),
      h(
        'span',
        { class: 'keyboard' },
        running ? 'Esc stops' : 'Enter sends, Shift+Enter begins a line',
      ),
    );
  }

  const grow = () => {
    field.style.setProperty('height', 'auto');
    field.style.setProperty('height', `${field.scrollHeight + 2}px`);
    state();
  };

  field.addEventListener('input', grow);
  field.addEventListener('keydown', e => {
    if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) {
      e.preventDefault();
      send(field.value);
    } else if (e.key === 'ArrowUp' && !field.value && said.length) {
      e.preventDefault();
      field.value = said.at(-1);
      grow();
    }
  });
  $('#composer-form').addEventListener('submit', e => {
    e.preventDefault();
    if (talk.busy) talk.stop();
    else send(field.value);
  });

  empty();
  state();
  return {
    preset: () => {
      if (!talk.turns.length) empty();
    },
  };
}

function userView(turn) {
  return {
    el: h(
      'article',
      { class: 'turn user', 'aria-label': 'You' },
      h('p', { class: 'said' }, turn.text),
    ),
    update() {},
  };
}

function assistantView(talk, turn, inspect) {
  const thought = h(
    'details',
    { class: 'thought', hidden: true },
    h('summary', {}, 'Reasoning'),
    h('p', {}),
  );
  const text = h('p', { class: 'said' }),
    status = h('p', { class: 'status' }),
    calls = h('div', { class: 'calls' });
  const results = h('div', { class: 'results-end' }),
    foot = h('footer', { class: 'turn-foot' });
  const el = h(
    'article',
    { class: 'turn assistant', 'aria-label': 'Tenon' },
    status,
    thought,
    text,
    calls,
    results,
    foot,
  );
  const cards = [];

  function update() {
    const run = turn.run,
      over = run.endedAt !== null;
    thought.hidden = !turn.reasoning;
    thought.lastChild.textContent = turn.reasoning;
    if (text.textContent !== turn.text) text.textContent = turn.text;
    turn.calls.forEach((call, i) => {
      if (!cards[i]) {
        cards[i] = callCard(call, i, () => sendResults());
        calls.append(cards[i].el);
      }
      cards[i].update(over);
    });
    while (cards.length > turn.calls.length) cards.pop().el.remove(); // those that were cut
    fill(status, statusLine(run, turn));
    fill(results, waiting() && resultsEnd());
    fill(foot, over && footer());
  }

  const waiting = () =>
    turn === talk.last && !talk.busy && talk.open.length > 0 && talk.open.every(c => !c.stage);
  const sendResults = () => {
    if (waiting()) talk.answer(cards.map(c => c.result()));
  };

  function resultsEnd() {
    return h(
      'p',
      { class: 'send-results' },
      h(
        'button',
        { type: 'button', class: 'primary', onclick: sendResults },
        turn.calls.length > 1 ? 'Send results' : 'Send result',
      ),
      h('span', { class: 'hint keyboard' }, 'Ctrl+Enter'),
    );
  }

  function footer() {
    const last = turn === talk.last;
    return [
      h(
        'span',
        { class: 'numbers', title: 'tokens of the prompt and of the answer' },
        numbers(turn.run),
      ),
      h(
        'span',
        { class: 'acts' }, // where there is no room, they go below together
        turn.text && copyButton('Copy', () => turn.text, 'small quiet'),
        last &&
          h(
            'button',
            { type: 'button', class: 'small quiet', onclick: () => talk.again() },
            turn.run.error ? 'Try again' : 'Again',
          ),
        h(
          'button',
          { type: 'button', class: 'small quiet', onclick: () => inspect(turn) },
          'Inspect',
        ),
      ),
    ];
  }

  update();
  return { el, update };
}

function statusLine(run, turn) {
  if (run.error)
    return h(
      'span',
      { class: 'error', role: 'alert' },
      run.error.status ? `The server refused this: ${run.error.message}` : run.error.message,
    );
  if (run.stopped) return h('span', { class: 'note' }, 'Stopped.');
  if (run.finish === 'length') return h('span', { class: 'note' }, 'Cut at the token limit.');
  if (run.endedAt !== null)
    return (
      !turn.text && !turn.calls.length && h('span', { class: 'note' }, 'The model said nothing.')
    );
  if (turn.text || turn.calls.length) return null;
  const p = run.progress;
  return h(
    'span',
    { class: 'waiting' },
    h('span', { class: 'dots', 'aria-hidden': 'true' }),
    p && p.processed < p.total
      ? `Reading ${p.processed} of ${p.total} tokens`
      : run.events.length
        ? 'Answering'
        : 'Waiting for its turn',
  );
}

/** 412 read, 92 % cached · 20 written, 50 % forced · 480 tok/s */
function numbers(run) {
  const t = run.timings,
    n = t ? t.cache_n + t.prompt_n : 0;
  if (!t) return '';
  const parts = [`${n} read${t.cache_n ? `, ${share(t.cache_n, n)} cached` : ''}`];
  if (t.predicted_n)
    parts.push(
      `${t.predicted_n} written${t.forced_n ? `, ${share(t.forced_n, t.predicted_n)} forced` : ''}`,
    );
  if (t.predicted_n > 1 && t.predicted_ms > 0)
    parts.push(`${Math.round((t.predicted_n * 1000) / t.predicted_ms)} tok/s`);
  return parts.join(' · ');
}
