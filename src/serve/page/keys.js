// keys.js -- what the keyboard does. Every shortcut has Alt, so that none fires while somebody
// writes or dictates.

import { $, h } from './dom.js';

const list = [];

/** code: KeyboardEvent.code, which does not change with what Alt makes of the letter. */
export function shortcut(code, letter, what, run) {
  list.push({ code, letter, what, run });
}

export function openKeys(onescape) {
  document.addEventListener('keydown', e => {
    if (e.key === 'Escape' && !e.defaultPrevented && !document.querySelector('dialog[open]'))
      onescape();
    if (!e.altKey || e.ctrlKey || e.metaKey) return;
    const found = list.find(s => s.code === e.code);
    if (!found) return;
    e.preventDefault();
    found.run();
  });
}

export function showKeys() {
  const row = (keys, what) => [
    h(
      'dt',
      {},
      keys.map(k => h('kbd', {}, k)),
    ),
    h('dd', {}, what),
  ];
  const dialog = h(
    'dialog',
    { 'aria-labelledby': 'keys-title' },
    h('h2', { id: 'keys-title' }, 'Keyboard'),
    h(
      'dl',
      { class: 'keys' },
      row(['Enter'], 'send the message'),
      row(['Shift', 'Enter'], 'begin a line in it'),
      row(['↑'], 'in the empty field: the last message again'),
      row(['Ctrl', 'Enter'], 'send the results of calls'),
      row(['Esc'], 'stop the answer'),
      list.map(s => row(['Alt', s.letter], s.what)),
      row(['←', '→'], 'among tabs and tokens'),
    ),
    h(
      'form',
      { method: 'dialog', class: 'buttons' },
      h('button', { type: 'submit', class: 'primary' }, 'Close'),
    ),
  );
  document.body.append(dialog);
  dialog.addEventListener('close', () => dialog.remove());
  dialog.showModal();
}

/** Shows a part of the page where there is no room for all, and goes there. */
export function goTo(pane, focus) {
  document.body.dataset.pane = pane;
  if (pane !== 'chat') document.body.dataset.side = pane;
  for (const b of document.querySelectorAll('.panes button')) {
    if (b.dataset.pane === pane) b.setAttribute('aria-current', 'true');
    else b.removeAttribute('aria-current');
  }
  if (focus) $(focus)?.focus();
}
