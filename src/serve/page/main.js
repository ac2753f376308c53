// main.js -- the parts of the page are opened and joined.

import { $, h } from './dom.js';
import { openChat } from './chat.js';
import { mockOf } from './calls.js';
import { Hands } from './hands.js';
import { openInspector } from './inspect.js';
import { goTo, openKeys, shortcut, showKeys } from './keys.js';
import { openModels } from './model.js';
import { addHere } from './presets.js';
import { save, saveTheme, settings, themeNow } from './store.js';
import { chain, Talk } from './talk.js';
import { openTools } from './tools.js';

const AUTO_MOST = 8; // answers that mock results lead to without anybody looking

function themeButton() {
  const button = $('#theme');
  const show = () => {
    const dark = themeNow() === 'dark';
    button.textContent = dark ? '☀' : '☾';
    button.title = dark ? 'Light colours' : 'Dark colours';
    button.setAttribute('aria-label', button.title);
  };
  const turn = () => {
    saveTheme(themeNow() === 'dark' ? 'light' : 'dark');
    show();
  };
  button.addEventListener('click', turn);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', show);
  show();
  return turn;
}

function autoAnswer(talk) {
  talk.addEventListener('ended', e => {
    const calls = talk.open;
    if (
      settings.autoMock &&
      calls.length &&
      calls.every(c => !c.stage) &&
      e.detail.run.finish === 'tool_calls' &&
      chain(talk.turns, e.detail).length < AUTO_MOST
    )
      talk.answer(e.detail.calls.map(c => mockOf(c.name)));
  });
}

/** Tools of the server that were not there the last time are what the page begins with. */
async function openHands(hands) {
  await hands.look();
  const names = [...hands.tools.keys()].join(' ');
  if (names) addHere(hands.definitions());
  if (names && names !== settings.here) save({ preset: 'here', tools: null, choice: 'auto' });
  save({ here: names });
}

async function start() {
  const talk = new Talk(),
    hands = new Hands(talk),
    turnTheme = themeButton();
  const inspector = openInspector(talk);
  const chat = openChat(talk, turn => {
    inspector.select(turn);
    goTo('inspect', '#inspect [role=tab][aria-selected=true]');
  });
  let tools = null;
  autoAnswer(talk);
  for (const b of document.querySelectorAll('.panes button'))
    b.addEventListener('click', () => goTo(b.dataset.pane));
  $('#new-chat').addEventListener('click', () => {
    talk.clear();
    goTo('chat', '#composer');
  });
  $('#help').addEventListener('click', showKeys);
  shortcut('KeyC', 'C', 'the message field', () => goTo('chat', '#composer'));
  shortcut('KeyE', 'E', 'the tool editor', () => goTo('tools', '#tools-text'));
  shortcut('KeyI', 'I', 'the inspector', () =>
    goTo('inspect', '#inspect [role=tab][aria-selected=true]'),
  );
  shortcut('KeyN', 'N', 'a new chat', () => $('#new-chat').click());
  shortcut('KeyL', 'L', 'light or dark colours', turnTheme);
  shortcut('KeyK', 'K', 'this list', showKeys);
  openKeys(() => talk.stop());
  goTo('chat', '#composer');
  const models = await openModels(talk, () => tools?.judge());
  await openHands(hands);
  chat.preset();
  talk.addEventListener('ended', e => {
    if (e.detail.run.error?.status === 0) models.look();
  });
  tools = await openTools(talk, chat.preset);
  document.body.dataset.ready = 'true';
}

start().catch(e => {
  $('#banner').hidden = false;
  $('#banner').replaceChildren(h('span', {}, `The page could not start: ${e.message}`));
});
