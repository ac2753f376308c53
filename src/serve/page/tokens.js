// tokens.js -- an answer as its tokens: which were chosen, which the grammar forced, which were
// computed ahead.

import { fill, h } from './dom.js';
import { nothing } from './inspect.js';
import { kinds } from './talk.js';
import { ms, percent } from './words.js';

const KINDS = {
  sampled: 'chosen by the model',
  drafted: 'computed ahead, then chosen',
  forced: 'the only one the grammar allowed',
};
const UNSURE = 0.6; // below it a chosen token is marked

export function tokensView() {
  const list = h('div', {
    class: 'tokens',
    role: 'listbox',
    'aria-label': 'Tokens of the answer',
    'aria-orientation': 'horizontal',
  });
  const detail = h('div', { class: 'token-detail', 'aria-live': 'polite' }),
    key = h('ul', { class: 'key', 'aria-label': 'Kinds of tokens' });
  const empty = nothing(
    'Tokens',
    'Each token of an answer, in the tint of how it came to be. Point at one (or move with the ' +
      'arrow keys) for its probability.',
  );
  const el = h('div', { class: 'tokens-view' });
  let shown = null,
    chosen = -1;

  function draw(turn) {
    if (!turn?.run.tokens.length) {
      shown = null;
      fill(el, empty);
      return;
    }
    if (shown !== turn) {
      shown = turn;
      chosen = -1;
      list.replaceChildren();
      fill(el, key, list, detail);
      pick(-1);
    }
    const { tokens } = turn.run,
      by = kinds(turn.run);
    for (let i = list.childElementCount; i < tokens.length; i++)
      list.append(tokenNode(tokens[i], i));
    if (list.firstChild && chosen < 0) list.firstChild.tabIndex = 0;
    fill(
      key,
      Object.keys(KINDS).map(kind =>
        h('li', {}, h('span', { class: `swatch ${kind}` }), `${kind} ${by[kind].n}`),
      ),
      h('li', {}, h('span', { class: 'swatch unsure' }), `below ${percent(UNSURE)}`),
    );
  }

  function tokenNode(t, i) {
    const unsure = t.kind !== 'forced' && t.p < UNSURE;
    return h(
      'span',
      {
        class: `token ${t.kind}${unsure ? ' unsure' : ''}${isMarker(t) ? ' marker' : ''}`,
        role: 'option',
        'aria-selected': 'false',
        tabindex: '-1',
        'aria-label': `${visible(t)}, ${t.kind}, ${percent(t.p)}`,
        dataset: { i },
      },
      pieces(t),
    );
  }

  function pick(i, focus) {
    const { tokens = [], odds = [] } = shown?.run ?? {};
    list.children[chosen]?.setAttribute('aria-selected', 'false');
    for (const el of list.querySelectorAll('[tabindex="0"]')) el.tabIndex = -1;
    chosen = i;
    const node = list.children[i];
    if (node) {
      node.setAttribute('aria-selected', 'true');
      node.tabIndex = 0;
      if (focus) node.focus();
    }
    fill(
      detail,
      node
        ? detailOf(tokens[i], i, odds[i], tokens[i - 1])
        : h('p', { class: 'hint' }, 'Point at a token.'),
    );
  }

  const indexOf = e => Number(e.target.closest('.token')?.dataset.i ?? -1);
  list.addEventListener('pointerover', e => {
    if (indexOf(e) >= 0) pick(indexOf(e));
  });
  list.addEventListener('focusin', e => {
    if (indexOf(e) >= 0 && indexOf(e) !== chosen) pick(indexOf(e));
  });
  list.addEventListener('keydown', e => {
    const n = list.childElementCount,
      to = { ArrowRight: chosen + 1, ArrowLeft: chosen - 1, Home: 0, End: n - 1 }[e.key];
    if (to === undefined || to < 0 || to >= n) return;
    e.preventDefault();
    pick(to, true);
  });
  return { el, draw };
}

const isMarker = t => typeof t.piece === 'string' && /^<\|.*\|>$/.test(t.piece);
const hex = bytes => bytes.map(b => b.toString(16).padStart(2, '0')).join(' ');

/** The text of a token in words: blanks can be seen, bytes that are no text are said as bytes. */
function visible(t) {
  if (typeof t.piece !== 'string') return `bytes ${hex(t.piece)}`;
  return t.piece.replaceAll(' ', '␣').replaceAll('\n', '↵').replaceAll('\t', '⇥') || '(nothing)';
}

/** As it stands in the list: a blank keeps its width, a line break is shown and made. */
function pieces(t) {
  if (typeof t.piece !== 'string') return hex(t.piece);
  return t.piece
    .split(/(\n)/)
    .flatMap(s => (s === '\n' ? ['↵', h('br', {})] : s))
    .filter(s => s !== '');
}

function detailOf(t, i, odds, before) {
  const meter = p => h('span', { class: 'meter', 'aria-hidden': 'true', vars: { p } });
  const row = (name, value) => [h('dt', {}, name), h('dd', {}, value)];
  return [
    h(
      'p',
      { class: 'token-head' },
      h('code', {}, visible(t)),
      h('span', { class: `badge ${t.kind}` }, t.kind),
      h('span', { class: 'hint' }, KINDS[t.kind]),
    ),
    h(
      'p',
      { class: 'odds' },
      h('span', {}, 'of what was allowed'),
      meter(t.p),
      h('b', {}, percent(t.p)),
    ),
    odds &&
      h(
        'p',
        { class: 'odds' },
        h('span', {}, 'by the model alone'),
        meter(Math.exp(odds.logprob)),
        h('b', {}, percent(Math.exp(odds.logprob))),
      ),
    h(
      'dl',
      { class: 'facts' },
      row('token', `${i + 1}, id ${t.id}`),
      row('after', `${ms(t.ms)}${before ? ` (+${ms(Math.max(0, t.ms - before.ms))})` : ''}`),
    ),
    odds?.top_logprobs.length > 0 && alternatives(odds, meter),
  ];
}

function alternatives(odds, meter) {
  return h(
    'div',
    { class: 'alternatives' },
    h('h4', {}, 'What the model thought of'),
    h(
      'ol',
      {},
      odds.top_logprobs.map(a =>
        h(
          'li',
          { class: a.token === odds.token ? 'taken' : '' },
          h('code', {}, visible({ piece: a.token })),
          meter(Math.exp(a.logprob)),
          h('b', {}, percent(Math.exp(a.logprob))),
        ),
      ),
    ),
  );
}
