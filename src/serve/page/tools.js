// tools.js -- the tools as text, judged while one types, and the settings of a request.
//
// Two judges: the JSON reader here says where a text breaks; the server says everything else,
// because it is the one that compiles the schemas. Asking it with max_completion_tokens 0 compiles
// all tools and reads the prompt into the cache without answering, so the next message finds its
// tools already read.

import { $, fill, h, whenQuiet } from './dom.js';
import { post } from './api.js';
import { follow, parse, place } from './json.js';
import { mockOf } from './calls.js';
import { presetOf, presets, toolsText } from './presets.js';
import { save, settings } from './store.js';
import { count } from './words.js';

export async function openTools(talk, onpreset) {
  const area = h('textarea', {
    id: 'tools-text',
    spellcheck: 'false',
    autocapitalize: 'off',
    wrap: 'off',
    'aria-describedby': 'tools-verdict',
  });
  const gutter = h('div', { class: 'gutter', 'aria-hidden': 'true' }),
    verdict = h('p', { id: 'tools-verdict', class: 'verdict', role: 'status' });
  const mocks = h('div', { class: 'mocks' }),
    choice = h('select', { id: 'choice' });
  const preset = h(
    'select',
    { id: 'preset' },
    presets.map(p => h('option', { value: p.id }, p.title)),
  );
  const own = h('option', { value: 'own', hidden: settings.own === null }, 'My own');
  preset.append(own);
  let tools = [],
    asking = null,
    badLine = 0,
    wrong = null,
    dirty = false,
    judged = null;

  fill(
    $('#tools'),
    h('h2', { class: 'hidden' }, 'Tools and settings'),
    h(
      'div',
      { class: 'row' },
      h('label', { for: 'preset' }, 'Tools'),
      preset,
      h(
        'button',
        {
          type: 'button',
          class: 'small',
          id: 'reset-tools',
          onclick: () => choosePreset(settings.preset),
        },
        'Reset',
      ),
    ),
    h('label', { class: 'hidden', for: 'tools-text' }, 'Tools as a JSON list'),
    h('div', { class: 'editor' }, gutter, area),
    verdict,
    mocks,
    settingsForm(choice),
  );

  // ---- judging ----

  function numberLines() {
    const n = area.value.split('\n').length;
    if (gutter.childElementCount !== n)
      fill(
        gutter,
        Array.from({ length: n }, (_, i) => h('span', {}, i + 1)),
      );
    [...gutter.children].forEach((line, i) => line.classList.toggle('bad', i + 1 === badLine));
    gutter.scrollTop = area.scrollTop;
  }

  /** at, end: where in the text it is, if it is somewhere. */
  function say(kind, text, at, end) {
    wrong = kind === 'bad' ? text : null;
    badLine = at === undefined ? 0 : place(area.value, at).line;
    area.setAttribute('aria-invalid', kind === 'bad');
    verdict.className = `verdict ${kind}`;
    fill(
      verdict,
      at === undefined
        ? text
        : [
            h(
              'button',
              { type: 'button', class: 'link', onclick: () => goTo(at, end) },
              `Line ${badLine}`,
            ),
            `: ${text}`,
          ],
    );
    numberLines();
  }

  function goTo(at, end) {
    area.focus();
    area.setSelectionRange(at, end);
    area.scrollTop =
      (place(area.value, at).line - 3) * parseFloat(getComputedStyle(area).lineHeight);
  }

  /** The list of tools in the text; null: it is none (said). */
  function read() {
    if (!area.value.trim()) return [];
    let root;
    try {
      root = parse(area.value);
    } catch (e) {
      say('bad', e.message, Math.min(e.at, area.value.length), e.at + 1);
      return null;
    }
    const list = Array.isArray(root.value) ? root : root.members?.get('tools');
    if (!list?.items) {
      say(
        'bad',
        'a list of tools is expected, or an object with a list “tools”',
        root.at,
        root.end,
      );
      return null;
    }
    return { root: list, tools: list.value };
  }

  /** What the server says of them, and where in the text that is. */
  async function askServer(found) {
    const abort = (asking = new AbortController());
    const body = {
      messages: [{ role: 'user', content: 'x' }],
      tools: found.tools,
      max_completion_tokens: 0,
    };
    if (talk.model) body.model = talk.model;
    try {
      const answer = await post('v1/chat/completions', body, abort.signal);
      accept(
        found.tools,
        `${count(found.tools.length, 'tool')}, every schema compiles · ` +
          `${answer.usage.prompt_tokens} prompt tokens`,
      );
    } catch (e) {
      if (e.name === 'AbortError') return;
      if (e.status === 400 || e.status === 413) {
        const node = whereIs(found.root, e);
        say('bad', e.message, node.nameAt ?? node.at, node.end);
      } else
        accept(found.tools, `This is JSON; the server did not judge it: ${e.message}`, 'unknown');
    }
  }

  function accept(list, text, kind = 'good') {
    tools = list;
    say(kind, text);
    showMocks();
    showChoices();
  }

  async function look() {
    const found = read();
    asking?.abort();
    if (found && (Array.isArray(found) || !found.tools.length))
      accept([], 'No tools: the model can only answer with text.');
    else if (found) await askServer(found);
  }

  function judge() {
    dirty = false;
    judged = look();
    return judged;
  }

  /** Nothing is asked with other tools than one sees: what is wrong with them, or null. */
  async function ready() {
    await (dirty ? judge() : judged);
    return wrong && `The tools are not in order${badLine ? ` (line ${badLine})` : ''}: ${wrong}`;
  }

  const soon = whenQuiet(() => {
    if (dirty) judge();
  }, 250);
  area.addEventListener('scroll', () => {
    gutter.scrollTop = area.scrollTop;
  });
  area.addEventListener('input', () => {
    save({ tools: area.value, own: area.value });
    own.hidden = false;
    preset.value = 'own';
    dirty = true;
    numberLines();
    soon();
  });
  area.addEventListener('keydown', e => {
    // Tab leaves the field; indenting is Ctrl+]
    if (e.key === ']' && (e.ctrlKey || e.metaKey)) {
      e.preventDefault();
      area.setRangeText('  ', area.selectionStart, area.selectionEnd, 'end');
    }
  });

  // ---- what depends on the tools ----

  function showMocks() {
    const open = mocks.querySelector('details')?.open;
    if (!tools.length) {
      fill(mocks);
      return;
    }
    fill(
      mocks,
      h(
        'details',
        { open: Boolean(open) },
        h('summary', {}, 'Mock results'),
        h(
          'label',
          { class: 'check' },
          h('input', {
            type: 'checkbox',
            checked: settings.autoMock,
            onchange: e => save({ autoMock: e.target.checked }),
          }),
          'Send them without asking me',
        ),
        tools.map(nameOf).map(name =>
          h(
            'div',
            { class: 'mock' },
            h('label', { for: `mock-${name}` }, name),
            h('textarea', {
              id: `mock-${name}`,
              rows: 1,
              spellcheck: 'false',
              value: mockOf(name),
              oninput: e => save({ mocks: { ...settings.mocks, [name]: e.target.value } }),
            }),
          ),
        ),
      ),
    );
  }

  function showChoices() {
    const words = [
      ['auto', 'Text or calls'],
      ['required', 'At least one call'],
      ['none', 'Text only'],
      ...tools.map(nameOf).map(n => [`=${n}`, `Call ${n}`]),
    ];
    fill(
      choice,
      words.map(([value, title]) => h('option', { value }, title)),
    );
    if (!words.some(w => w[0] === settings.choice)) save({ choice: 'auto' });
    choice.value = settings.choice;
  }

  async function choosePreset(id) {
    const chosen = presetOf(id);
    save({ preset: id, tools: null, mocks: {}, choice: chosen.choice ?? 'auto' });
    preset.value = id;
    await fillEditor();
    onpreset();
  }

  async function fillEditor() {
    try {
      area.value = settings.tools ?? (await toolsText(presetOf(settings.preset)));
    } catch (e) {
      area.value = '[]';
      say('bad', `the example tools could not be fetched: ${e.message}`);
      return;
    }
    area.scrollTop = 0;
    numberLines();
    await judge();
  }

  preset.addEventListener('change', () => {
    if (preset.value !== 'own') {
      choosePreset(preset.value);
      return;
    }
    save({ tools: settings.own });
    fillEditor();
  });
  preset.value = settings.tools === null ? presetOf(settings.preset).id : 'own';
  talk.tools = () => tools;
  talk.ready = ready;
  await fillEditor();
  return { judge };
}

const nameOf = tool => tool.function?.name ?? tool.name ?? 'python';

/** "tools[1].function.name" and "tool x: /properties/y: …" as a node of the text. */
function whereIs(list, e) {
  const named = /^tool ([^:]+): (\/[^:\s]*)?/.exec(e.message),
    path = /^tools\[(\d+)\]\.?([\w.]*)/.exec(e.param ?? '');
  const i = named ? list.value.findIndex(t => nameOf(t) === named[1]) : path ? Number(path[1]) : -1;
  if (i < 0) return list;
  const entry = list.items[i],
    fn = entry.members?.get('function') ?? entry;
  if (!named) return follow(entry, path[2].split('.').filter(Boolean));
  const steps = (named[2] ?? '')
    .split('/')
    .slice(1)
    .map(s => s.replaceAll('~1', '/').replaceAll('~0', '~'));
  return follow(fn, ['parameters', ...steps]);
}

// ---- settings --------------------------------------------------------------------------------

function settingsForm(choice) {
  const number = (id, label, key, attrs, read) =>
    h(
      'div',
      { class: 'setting' },
      h('label', { for: id }, label),
      h('input', {
        id,
        type: 'number',
        inputmode: 'decimal',
        value: key === 'temperature' ? settings[key] : settings[key] || '',
        ...attrs,
        onchange: e => {
          save({ [key]: read(e.target.value) });
        },
      }),
    );
  choice.addEventListener('change', () => save({ choice: choice.value }));
  const system = h('textarea', {
    id: 'system',
    rows: 2,
    value: settings.system,
    placeholder: 'none',
    oninput: e => save({ system: e.target.value }),
  });
  const check = (key, label, hint) =>
    h(
      'label',
      { class: 'check' },
      h('input', {
        type: 'checkbox',
        checked: settings[key],
        onchange: e => save({ [key]: e.target.checked }),
      }),
      h('span', {}, label, hint && h('small', {}, hint)),
    );
  return h(
    'div',
    { class: 'settings' },
    h('h3', {}, 'Request'),
    h('div', { class: 'setting wide' }, h('label', { for: 'choice' }, 'Answer with'), choice),
    number('temperature', 'Temperature', 'temperature', { min: 0, max: 2, step: 0.1 }, v =>
      Math.min(2, Math.max(0, Number(v) || 0)),
    ),
    number(
      'max-tokens',
      'Most tokens',
      'maxTokens',
      { min: 1, step: 1, placeholder: 'all that fit' },
      v => Math.max(0, Math.floor(Number(v) || 0)),
    ),
    number('seed', 'Seed', 'seed', { step: 1, placeholder: 'none' }, v =>
      v.trim() === '' ? null : Math.floor(Number(v)),
    ),
    h('div', { class: 'setting wide' }, h('label', { for: 'system' }, 'System message'), system),
    check('parallel', 'Several calls in one answer'),
    check(
      'odds',
      'Alternatives of each token',
      'asks for log-probabilities; forced tokens are then computed too, which takes time',
    ),
  );
}
