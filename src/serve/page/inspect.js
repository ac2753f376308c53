// inspect.js -- the inspector: one answer looked at as times, as tokens, and as what went over the
// wire.

import { $, fill, h, perFrame, tabs } from './dom.js';
import { rawView } from './raw.js';
import { save, settings } from './store.js';
import { timelineView } from './timeline.js';
import { tokensView } from './tokens.js';

const NAMES = [
  ['timeline', 'Time'],
  ['tokens', 'Tokens'],
  ['raw', 'Wire'],
];

export function openInspector(talk) {
  const views = { timeline: timelineView(talk, select), tokens: tokensView(), raw: rawView() };
  const panels = Object.fromEntries(
    NAMES.map(([id]) => [
      id,
      h(
        'div',
        {
          role: 'tabpanel',
          id: `panel-${id}`,
          'aria-labelledby': `tab-${id}`,
          class: 'tabpanel',
          tabindex: '0',
        },
        views[id].el,
      ),
    ]),
  );
  const which = h('select', { 'aria-label': 'Answer that is looked at' });
  const answers = () => talk.turns.filter(t => t.role === 'assistant');
  let turn = null,
    follow = true,
    tab = settings.tab;

  const bar = tabs('Inspector', NAMES, id => {
    tab = id;
    save({ tab });
    for (const [name, panel] of Object.entries(panels)) panel.hidden = name !== id;
    draw();
  });
  fill(
    $('#inspect'),
    h('h2', { class: 'hidden' }, 'Inspector'),
    h('div', { class: 'row' }, bar.list, which),
    Object.values(panels),
  );
  choices();
  bar.select(NAMES.some(n => n[0] === tab) ? tab : 'timeline');

  function choices() {
    const list = answers();
    which.hidden = list.length < 2;
    fill(
      which,
      list.map((t, i) => h('option', { value: i }, `Answer ${i + 1}`)),
    );
    which.value = list.indexOf(turn);
  }
  which.addEventListener('change', () => select(answers()[Number(which.value)]));

  function select(to) {
    turn = to;
    follow = to === answers().at(-1);
    choices();
    draw();
  }

  function draw() {
    views[tab].draw(turn);
  }
  const soon = perFrame(draw);

  talk.addEventListener('added', e => {
    if (e.detail.role === 'assistant' && (follow || !turn)) select(e.detail);
  });
  talk.addEventListener('changed', () => {
    if (turn) soon();
  });
  talk.addEventListener('removed', e => {
    if (turn === e.detail) select(answers().at(-1) ?? null);
  });
  talk.addEventListener('cleared', () => select(null));
  return { select };
}

/** What a panel shows before there is anything to show. */
export function nothing(title, text) {
  return h('div', { class: 'nothing' }, h('h3', {}, title), h('p', {}, text));
}
