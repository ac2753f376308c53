// calls.js -- a call as a card: its arguments while they are written, how sure the model was, and
// its result.
//
// Tools of this server run there (hands.js), those that may change something once they were allowed
// here. Of all others whoever sits before the page says what they gave, by hand or by choosing a mock.

import { fill, h } from './dom.js';
import { filesView } from './files.js';
import { coloured, pretty } from './json.js';
import { presetOf } from './presets.js';
import { settings } from './store.js';
import { ms, percent } from './words.js';

/** What a tool gives when nobody says otherwise: the visitor's, the preset's, or that it worked. */
export function mockOf(name) {
  return settings.mocks[name] ?? presetOf(settings.preset).mocks[name] ?? '{"ok":true}';
}

const CUT = '{"error":"the arguments were cut at the token limit; send less at once"}';
const UNSURE = 0.7; // below it a call is marked: a second look is worth it

/** onsend: Ctrl+Enter in the result. */
export function callCard(call, index, onsend) {
  const id = `result-${call.id}`;
  const state = h('span', { class: 'badges' }),
    args = h('pre', { class: 'args', tabindex: '0', 'aria-label': `Arguments of ${call.name}` });
  const answer = h('div', { class: 'answer' });
  const el = h(
    'section',
    { class: 'call', 'aria-label': `Call ${index + 1}: ${call.name}` },
    h('header', {}, h('code', { class: 'call-name' }, call.name), state),
    args,
    answer,
  );
  let drawn = '',
    area = null;

  function resultField() {
    const choices = [
      ['mock', 'Mock result', call.done ? mockOf(call.name) : CUT],
      ['ok', 'It worked', '{"ok":true}'],
      ['error', 'It failed', `{"error":"${call.name} is not available at the moment"}`],
      ['empty', 'Nothing', ''],
    ];
    area = h('textarea', { id, rows: 2, spellcheck: 'false', value: choices[0][2] });
    area.addEventListener('keydown', e => {
      if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) {
        e.preventDefault();
        onsend();
      }
    });
    const pick = h(
      'select',
      { 'aria-label': `Ready-made result for ${call.name}` },
      choices.map(([value, title]) => h('option', { value }, title)),
    );
    pick.addEventListener('change', () => {
      area.value = choices.find(c => c[0] === pick.value)[2];
      area.focus();
    });
    return h(
      'div',
      { class: 'results' },
      h('div', { class: 'row' }, h('label', { for: id }, 'Result'), pick),
      area,
    );
  }

  function question() {
    const button = (word, text, kind) =>
      h('button', { type: 'button', class: kind, onclick: () => call.decide(word) }, text);
    return h(
      'div',
      { class: 'asks', role: 'group', 'aria-label': `May ${call.name} run?` },
      h('p', { class: 'label' }, `${call.name} wants to run on the server`),
      codeOf(call),
      h(
        'div',
        { class: 'row' },
        button('once', 'Run', 'primary'),
        button('always', 'Always in this chat'),
        button('no', 'Do not run'),
      ),
    );
  }

  function waits() {
    return h(
      'p',
      { class: 'waiting', role: 'status' },
      h('span', { class: 'dots', 'aria-hidden': 'true' }),
      call.stage === 'runs' ? 'Running' : 'Waiting for its turn',
    );
  }

  let shown = null; // stage that the answer was drawn for

  function update(over) {
    if (drawn !== call.args + over)
      fill(args, coloured(over || call.done ? pretty(call.args) : call.args));
    drawn = call.args + over;
    fill(state, badges(call, over));
    if (call.result) {
      if (shown !== 'result') fill(answer, given(call));
      shown = 'result';
      area = null;
    } else if (call.stage) {
      if (shown !== call.stage) fill(answer, call.stage === 'asks' ? question() : waits());
      shown = call.stage;
    } else if (over && !answer.firstChild) fill(answer, resultField());
  }

  return { el, update, result: () => area?.value ?? '' };
}

/** Code is read better with its line breaks. */
function codeOf(call) {
  let code;
  try {
    ({ code } = JSON.parse(call.args));
  } catch {
    return null;
  }
  return (
    typeof code === 'string' &&
    code.includes('\n') &&
    h('pre', { class: 'code', tabindex: '0', 'aria-label': 'The code' }, code)
  );
}

function given(call) {
  const { text, ms: took, files = [], isError } = call.result;
  return [
    h(
      'p',
      { class: isError ? 'label error' : 'label' },
      took === undefined ? 'Result' : `${isError ? 'Failed' : 'Result'}, ${ms(took)}`,
    ),
    h(
      'pre',
      { class: 'given', tabindex: '0', 'aria-label': `Result of ${call.name}` },
      coloured(pretty(text)),
    ),
    filesView(files),
  ];
}

function badges(call, over) {
  const out = [];
  if (!call.done)
    out.push(
      h(
        'span',
        { class: over ? 'badge bad' : 'badge' },
        over ? 'cut at the limit' : 'being written',
      ),
    );
  else if (!call.schemaOk) out.push(h('span', { class: 'badge bad' }, 'does not fit its schema'));
  else out.push(h('span', { class: 'badge good' }, 'fits its schema'));
  if (call.confidence !== null)
    out.push(
      h(
        'span',
        {
          class: call.confidence < UNSURE ? 'badge warn' : 'badge',
          title: 'least share of a token of this call among all that its grammar allowed',
        },
        `${call.confidence < UNSURE ? 'unsure: ' : 'confidence '}${percent(call.confidence)}`,
      ),
    );
  return out;
}
